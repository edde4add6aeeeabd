"""The account and the key that `farebox dev` prints. Both are made once; the key is made again from the secret."""

from typing import Final, NamedTuple

from farebox.account.keys import new_key
from farebox.account.sign_up import sign_up
from farebox.domain import apikey
from farebox.domain.apikey import ApiKey
from farebox.domain.product import Product
from farebox.ports.calls import AccountRow, Accounts

DEVELOPER: Final = "dev@localhost"
KEY_NAME: Final = "farebox dev"


class Developer(NamedTuple):
    """The developer who tries the product out; `moved_from` is the plan of the account until now, if that is gone."""

    account: AccountRow
    key: ApiKey
    moved_from: str | None


def developer(accounts: Accounts, product: Product, secret: bytes) -> Developer:
    """The developer's account, at first on the last plan that is not prepaid, and a key of it that works."""
    last = next((plan for plan in reversed(product.plans) if not plan.prepaid), product.plans[-1]).name
    account = accounts.account_by_email(DEVELOPER)
    if account is None:
        account = sign_up(accounts, product, DEVELOPER, last)
    moved_from = None
    if account.plan not in product.by_name:
        accounts.set_plan(account.id, last)
        account, moved_from = account._replace(plan=last), account.plan
    return Developer(account, _working_key(accounts, product.key_prefix, secret, account), moved_from)


def _working_key(accounts: Accounts, brand: str, secret: bytes, account: AccountRow) -> ApiKey:
    """The first derivable key that is neither revoked nor replaced; it is stored if it is new."""
    known = {row.digest: row for _, row in accounts.list_keys(account.email)}
    number = 1
    while True:
        key = apikey.derive(brand, "live", secret, "dev key" if number == 1 else f"dev key {number}")
        row = known.get(apikey.digest(secret, key))
        if row is None:
            accounts.add_key(new_key(secret, account.id, key, KEY_NAME, accounts.now_us()).row)
            return key
        if row.revoked_us is None and row.expires_us is None:
            return key
        number += 1
