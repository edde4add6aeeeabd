"""What the founder does to an account by the command line."""

from typing import Final

from farebox.account.sign_up import check_plan
from farebox.domain.errors import FounderError
from farebox.domain.product import Product
from farebox.ports.calls import AccountRow, Accounts

BY_STRIPE: Final = (
    "has a subscription at Stripe, or had one, so it gets its plan from there. Change it there, or have an owner do it"
    " at /plan."
)


def open_account(accounts: Accounts, email: str) -> AccountRow:
    """The account with this address.

    Raises:
        FounderError: there is none, or it was deleted.
    """
    account = accounts.account_by_email(email)
    if account is None or account.closed_us is not None:
        raise FounderError(f"There is no account {email!r}. List them with: farebox accounts list")
    return account


def suspend(accounts: Accounts, email: str) -> tuple[AccountRow, bool]:
    """Refuse its calls and its people from this moment on, in every process; False where that is so already."""
    account = open_account(accounts, email)
    return account, accounts.set_suspended(account.id, is_suspended=True)


def resume(accounts: Accounts, email: str) -> tuple[AccountRow, bool]:
    """Let a suspended account call again; False where it is not suspended."""
    account = open_account(accounts, email)
    return account, accounts.set_suspended(account.id, is_suspended=False)


def move(accounts: Accounts, product: Product, email: str, plan: str) -> AccountRow:
    """Move an account to another plan, from its next call on. What it has used this month counts on.

    Raises:
        FounderError: there is no such account or plan, or the account has a subscription at Stripe, or had one.
    """
    account = open_account(accounts, email)
    check_plan(product, plan)
    if not accounts.move(account.id, plan):
        raise FounderError(f"{account.email} {BY_STRIPE}")
    return account._replace(plan=plan)
