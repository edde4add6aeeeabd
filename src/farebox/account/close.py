"""The end of an account."""

from farebox.account.buy import end_for_good
from farebox.account.desk import Desk
from farebox.account.till import Till
from farebox.domain.people import Client, PersonError
from farebox.ports.people import Visit
from farebox.ports.team import Closing


def close_account(desk: Desk, here: Visit, client: Client, *, typed: str, till: Till | None = None) -> None:
    """Delete the account for good, and with it the people who are in no other one. What it pays for ends first.

    Args:
        desk: where people are let in, and their accounts are looked after.
        here: the owner, who showed a moment ago who they are.
        client: the client that asks.
        typed: the account's address, as a proof that this is the account that is meant.
        till: where customers buy, if they do.

    Raises:
        PersonError: something else was typed, or what it pays for cannot be ended now.
        NotAllowed: they are no owner any more, or it is being deleted already.
    """
    if typed.strip().lower() != here.account.email:
        raise PersonError(f"To delete the account, type its address: {here.account.email}", field="address")
    closing = desk.upkeep.closing
    if till is not None and here.account.customer_id:
        _close_what_is_paid(closing, here, client, till)
    else:
        closing.close(here, client)
    desk.mail_written()


def _close_what_is_paid(closing: Closing, here: Visit, client: Client, till: Till) -> None:
    """Refuse calls, which no invoice would have, and end what is paid for; if that fails, the account goes on."""
    refused_us = closing.refuse_calls(here, client)
    try:
        end_for_good(till, here.account)
        closing.close(here, client)
    except BaseException:
        closing.take_calls(here, client, refused_us)
        raise
