"""Open an account on one of the product's plans."""

import secrets

from farebox.domain.errors import FounderError
from farebox.domain.people import PersonError, address_of
from farebox.domain.product import Product
from farebox.ports.calls import AccountRow, Accounts


def sign_up(accounts: Accounts, product: Product, email: str, plan: str) -> AccountRow:
    """A new account; its billing months count from now.

    Raises:
        FounderError: the address is none, is taken, or the plan does not exist.
    """
    try:
        address = address_of(email)  # as on the pages: with any other nobody could ever log in
    except PersonError:
        idn = "" if email.isascii() else ", and a domain as mail servers have it, as xn--mller-kva.example"
        raise FounderError(f"{email!r} is not an e-mail address; write it as name@example.com{idn}.") from None
    check_plan(product, plan)
    now_us = accounts.now_us()
    row = AccountRow(f"acct_{secrets.token_hex(8)}", address, plan, "active", now_us, now_us)
    if not accounts.add_account(row):
        raise FounderError(
            f"There is already an account {address!r}. Create a key for it with: farebox keys create {address}\n"
            f"To move it to another plan: farebox accounts plan {address} {plan}"
        )
    return row


def check_plan(product: Product, plan: str) -> None:
    """Check that the founder's file has the plan.

    Raises:
        FounderError: it has not.
    """
    if plan not in product.by_name:
        raise FounderError(f"There is no plan {plan!r}; choose one of: {', '.join(product.by_name)}.")
