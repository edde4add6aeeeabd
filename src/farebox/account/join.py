"""Sign up, and confirm the address. Until it is confirmed there is no person, no account and no free call."""

import hmac
import json
from typing import Any

from farebox.account.desk import GONE, Desk, LoggedIn, arrive, find_link, mail_link, new_token, take, token_by_link
from farebox.domain.events import SignedUp
from farebox.domain.passwords import check_password
from farebox.domain.people import (
    Client,
    LinkGone,
    address_of,
    digest,
    mails_to,
    sign_ups_from,
)


def ask_to_join(desk: Desk, client: Client, *, email: str, password: str, plan: str = "") -> str:
    """Have a link mailed that opens an account; return the token for the browser that chose the password.

    Whether the address is known makes no difference to anything that happens here.

    Raises:
        PersonError: what was typed cannot be used, or this client has signed up too often.
        Busy: too many passwords are being hashed.
    """
    address = address_of(email)
    check_password(password, email=address, product=desk.product.name)
    take(desk, [sign_ups_from(client)], "Too many sign-ups from your network.")
    browser = new_token()
    chosen = {
        "password_hash": desk.passwords.hash(password),
        "browser": digest(desk.secret, "browser", browser),
        "plan": plan if plan in desk.product.by_name else "",
    }
    if desk.people.take([mails_to(address, "confirm")]) is None:
        mail_link(desk, "confirm", address, **chosen)
    return browser


def confirm(desk: Desk, client: Client, *, token: str, browser: str, opened: str = "") -> tuple[LoggedIn, str]:
    """Use the link: make the person and an account on the product's first plan, and log them in.

    Returns the plan that they want as well. The password counts only in the browser that chose it: otherwise somebody
    who signs up with another's address would know the password of that person's account.

    Raises:
        LinkGone: the link does not work.
        NotAllowed: they may not come in.
    """
    link = find_link(desk, token)
    chosen: dict[str, Any] = json.loads(link.data)
    if link.purpose != "confirm":
        raise LinkGone(GONE)
    is_theirs = bool(browser) and hmac.compare_digest(chosen["browser"], digest(desk.secret, "browser", browser))
    password_hash = str(chosen["password_hash"]) if is_theirs else None
    plan = desk.product.plans[0].name
    came = arrive(
        desk, "mail", client, lambda arrival: desk.people.confirm(link.id, password_hash, plan, arrival),
        token_by_link(desk, link, opened),
    )  # fmt: skip
    if came is None:
        raise LinkGone(GONE)
    account = came.entered.account
    if came.entered.is_new_account:
        desk.tell(SignedUp(account.id, account.plan, account.email))
    return came, str(chosen["plan"])
