"""A stand-in for Stripe: stateful, with pages to pay on and test cards, so that nothing here needs an account."""

from farebox.sandbox.stripe.standin import DEFAULT_KEY as DEFAULT_KEY
from farebox.sandbox.stripe.standin import Standin as Standin
