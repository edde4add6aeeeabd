"""The addresses of the customers' pages, as mails, refusals and the pages' own forms have them."""

from typing import Final

ACCOUNT: Final = "account"
"""What names the account in such an address."""


def of_account(path: str, account_id: str | None) -> str:
    """A path with the account that it is of: whoever is in several may work in another one when it is followed."""
    if account_id is None:  # a mail that was written before its account was kept with it
        return path
    return f"{path}{'&' if '?' in path else '?'}{ACCOUNT}={account_id}"
