"""Money in the database: what was bought, credit, invoices, what Stripe has told, and usage on its way there."""
