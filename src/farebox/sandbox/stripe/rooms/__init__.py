"""One room a resource of Stripe's API."""
