"""A stand-in for Stripe: stateful, with pages to pay on and test cards, so that nothing here needs an account.

Where it knowingly differs from Stripe:

- Webhooks that are not accepted come again after seconds, not hours. A bank debit settles after a second.
- The cards `failsLater`, `debit` and `debitFails` are its own.
- A failed renewal is tried again after 3, 5 and 7 days, then the subscription ends; Stripe lets a founder choose.
- A test clock may go any distance at once. Stripe allows two intervals.
- Taxes, where they are asked for, are a tenth on top. Its pages ask for no address, and all live in one place.
- Nothing of coupons, credit notes, quotes, transfers or other accounts is here. A payment link has no page.
- A portal has no settings but those that the API makes.
- There is one account, one mode, and one key. What needs a page of Stripe's dashboard is a verb of `control.py`.
"""

from farebox.sandbox.stripe.standin import DEFAULT_KEY as DEFAULT_KEY
from farebox.sandbox.stripe.standin import Standin as Standin
