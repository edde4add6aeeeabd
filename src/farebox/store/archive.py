"""All that is kept of an account or of a person, for exports, and the audit log. Loaded by pages only.

A page is one short transaction: nothing stays open while the reader is slow. What a row tells is named here column by
column, so that no secret, and nothing of the founder's own costs, is in it.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, Table, and_, literal, select, tuple_
from sqlalchemy import Row as Found

from farebox.domain.people import Client
from farebox.domain.period import iso
from farebox.ports.people import Visit
from farebox.ports.team import ACTIVITY_MAX, Happened, Part, Row
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.tables import account, api_key, hold, meter, rollup_daily, usage_record
from farebox.store.tables_money import credit_grant, invoice, subscription, top_up
from farebox.store.tables_people import audit, identity, link, mail, member, passkey, person, session

PAGE_ROWS: Final = 1000
OF_A_CALL: Final = (
    "call_id", "key_id", "mode", "plan", "endpoint", "model", "admitted_us", "state", "calls", "tokens",
    "input_tokens", "cached_tokens", "output_tokens", "charge_nanodollars", "marks", "error", "recorded_us",
    "prepaid_nanodollars", "invoiced_nanodollars",
)  # fmt: skip
UNDER_WAY: Final = (*OF_A_CALL[:7], "expires_us", "held_calls", "held_tokens", "held_nanodollars")
OF_A_DAY: Final = (
    "mode", "day", "key_id", "endpoint", "model", "posted", "voided", "expired", "calls", "tokens", "input_tokens",
    "output_tokens", "charge_nanodollars",
)  # fmt: skip
OF_A_PERIOD: Final = (
    "name", "period_start_us", "period_end_us", "posted_calls", "posted_tokens", "posted_nanodollars", "held_calls",
    "held_tokens", "held_nanodollars",
)  # fmt: skip
OF_A_KEY: Final = (
    "id", "name", "mode", "prefix", "last4", "created_us", "expires_us", "revoked_us", "scopes", "cap_calls",
)  # fmt: skip
OF_A_SESSION: Final = ("id", "account_id", "began", "created_us", "seen_us", "expires_us", "address", "user_agent")
OF_A_GRANT: Final = (
    "id", "source", "pack", "amount_nanodollars", "spent_nanodollars", "held_nanodollars", "taken_back_nanodollars",
    "due_back_nanodollars", "expires_us", "created_us",
)  # fmt: skip
OF_AN_INVOICE: Final = (
    "id", "number", "status", "currency", "total_cents", "paid_cents", "period_start_us", "period_end_us", "created_us",
    "lines", "url",
)  # fmt: skip
OF_A_SUBSCRIPTION: Final = (
    "id", "status", "plan", "next_plan", "period_start_us", "period_end_us", "trial_end_us", "ends_at_period_end",
    "price_nanodollars", "next_price_nanodollars",
)  # fmt: skip
OF_A_TOP_UP: Final = ("pack", "below_nanodollars", "failed")
OF_AN_ACCOUNT: Final = ("id", "email", "plan", "state", "anchor_us", "created_us", "spend_cap_nanodollars")
OF_AN_INVITATION: Final = ("id", "email", "created_us", "expires_us", "used_us")
OF_AN_IDENTITY: Final = ("issuer", "subject", "created_us")
OF_A_LINE: Final = ("at_us", "id", "what", "network", "data")
DAY_KEY: Final = ("mode", "day", "key_id", "endpoint", "model")


class StoredArchive:
    """The port `Archive` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_account(self, account_id: str) -> list[Part]:
        def of(table: Table, names: Sequence[str]) -> Select[Any]:
            return select(*(table.c[name] for name in names)).where(table.c.account_id == account_id)

        accounts = select(*(account.c[name] for name in OF_AN_ACCOUNT)).where(account.c.id == account_id)
        people = of(member, ("person_id", "role", "joined_us")).add_columns(person.c.email)
        people = people.join(person, person.c.id == member.c.person_id)
        return [
            self._part("account", accounts, account.c.id),
            self._part("members", people, member.c.person_id),
            self._part("invitations", of(link, OF_AN_INVITATION), link.c.id),
            self._part("keys", of(api_key, OF_A_KEY), api_key.c.id),
            self._part("calls", of(usage_record, OF_A_CALL), usage_record.c.call_id),
            self._part("calls_under_way", of(hold, UNDER_WAY), hold.c.call_id),
            self._part("days", of(rollup_daily, OF_A_DAY), *(rollup_daily.c[name] for name in DAY_KEY)),
            self._part("periods", of(meter, OF_A_PERIOD), meter.c.name, meter.c.period_start_us),
            self._part("credit", of(credit_grant, OF_A_GRANT), credit_grant.c.id),
            self._part("top_up", of(top_up, OF_A_TOP_UP), top_up.c.pack),
            self._part("subscription", of(subscription, OF_A_SUBSCRIPTION), subscription.c.id),
            self._part("invoices", of(invoice, OF_AN_INVOICE), invoice.c.id),
            self._part("activity", of(audit, (*OF_A_LINE, "person_id")), audit.c.at_us, audit.c.id),
        ]

    def of_person(self, person_id: str) -> list[Part]:
        def of(table: Table, names: Sequence[str]) -> Select[Any]:
            return select(*(table.c[name] for name in names)).where(table.c.person_id == person_id)

        me = person.c.id == person_id
        has_password = person.c.password_hash.is_not(None).label("has_password")
        has_factor = person.c.totp_secret.is_not(None).label("has_second_factor")
        about = select(
            person.c.id, person.c.email, person.c.confirmed_us, person.c.created_us, has_password, has_factor
        )
        accounts = of(member, ("account_id", "role", "joined_us")).add_columns(account.c.email)
        accounts = accounts.join(account, account.c.id == member.c.account_id)
        mails = select(mail.c.id, mail.c.template, mail.c.created_us, mail.c.sent_us)
        mails = mails.where(mail.c.email == select(person.c.email).where(me).scalar_subquery())
        return [
            self._part("person", about.where(me), person.c.id),
            self._part("accounts", accounts, member.c.account_id),
            self._part("sessions", of(session, OF_A_SESSION), session.c.id),
            self._part("passkeys", of(passkey, ("id", "name", "created_us", "used_us")), passkey.c.id),
            self._part(
                "log_ins_elsewhere", of(identity, OF_AN_IDENTITY), *(identity.c[name] for name in OF_AN_IDENTITY[:2])
            ),
            self._part("mails", mails, mail.c.id),
            self._part("activity", of(audit, (*OF_A_LINE, "account_id")), audit.c.at_us, audit.c.id),
        ]

    def _part(self, name: str, rows: Select[Any], *key: Column[Any]) -> Part:
        return Part(name, partial(self._pages, rows, key))

    def _pages(self, rows: Select[Any], key: Sequence[Column[Any]]) -> Iterator[list[Row]]:
        place = tuple_(*key)
        after: tuple[Any, ...] | None = None
        while True:
            page = rows.order_by(*key).limit(PAGE_ROWS)
            if after is not None:
                page = page.where(place > tuple_(*(literal(value) for value in after)))
            with self._database.read() as connection:
                found = connection.execute(page).all()
            yield [_told(row) for row in found]
            if len(found) < PAGE_ROWS:
                return
            after = tuple(found[-1]._mapping[column] for column in key)  # noqa: SLF001  # as below

    # -- The audit log

    def happened(self, account_id: str, before: tuple[int, str] | None) -> list[Happened]:
        rows = select(audit, person.c.email).outerjoin(person, person.c.id == audit.c.person_id)
        rows = rows.where(audit.c.account_id == account_id)
        if before is not None:
            rows = rows.where(tuple_(audit.c.at_us, audit.c.id) < tuple_(literal(before[0]), literal(before[1])))
        rows = rows.order_by(audit.c.at_us.desc(), audit.c.id.desc()).limit(ACTIVITY_MAX)
        with self._database.read() as connection:
            found = connection.execute(rows).all()
            facts = [json.loads(row.data) for row in found]
            named = _addresses(connection, account_id, facts)
        return [
            Happened(
                row.id, row.at_us, row.what, row.email, row.network, told,
                named.get(told.get("person") or told.get("link", ""), ""),
            )
            for row, told in zip(found, facts, strict=True)
        ]  # fmt: skip

    def note(self, here: Visit, what: str, client: Client) -> None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            write_down(connection, what, client, now_us, person_id=here.person.id, account_id=here.account.id)


def _told(row: Found[Any]) -> Row:
    return dict(_cell(name, value) for name, value in row._mapping.items())  # noqa: SLF001  # SQLAlchemy's name for it


def _cell(name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401  # what a column holds
    """A column as an export has it: `created_us` as a time in words, `created_at`; `data` as the facts in it."""
    if name == "data":
        return "facts", json.loads(value)
    if not name.endswith("_us"):
        return name, value
    name = name.removesuffix("_us")
    return name if name == "at" else f"{name}_at", None if value is None else iso(value)


def _addresses(connection: Connection, account_id: str, facts: Sequence[dict[str, str]]) -> dict[str, str]:
    """The addresses that some lines are about, as far as they are still known."""
    people = [told["person"] for told in facts if "person" in told]
    links = [told["link"] for told in facts if "link" in told]
    found = (
        list(connection.execute(select(person.c.id, person.c.email).where(person.c.id.in_(people)))) if people else []
    )
    if links:
        theirs = and_(link.c.id.in_(links), link.c.account_id == account_id)
        found += connection.execute(select(link.c.id, link.c.email).where(theirs))
    return {row.id: row.email for row in found}
