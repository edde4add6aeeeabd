"""The addresses of the customers' pages, for mails, refusals and the pages' own forms."""

from typing import Final

ACCOUNT: Final = "account"
"""The parameter of such an address that names the account."""


def of_account(path: str, account_id: str | None) -> str:
    """A path that names its account: a person in several may be working in another one when they follow it."""
    if account_id is None:  # a mail from before mails were kept with their account
        return path
    return f"{path}{'&' if '?' in path else '?'}{ACCOUNT}={account_id}"
