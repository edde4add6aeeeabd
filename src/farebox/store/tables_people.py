"""The tables of people: who logs in, what was mailed to them, and what happened."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, Table, Text, text

from farebox.store.tables import metadata


def _text(name: str, **more: bool) -> Column[str]:
    return Column(name, Text, nullable=more.pop("nullable", False), **more)  # type: ignore[arg-type]  # bools only


def _int(name: str, *, default: str | None = None, **more: bool) -> Column[int]:
    nullable, in_sql = more.pop("nullable", False), text(default) if default else None
    return Column(name, BigInteger, nullable=nullable, server_default=in_sql, **more)  # type: ignore[arg-type]


person = Table(
    "person", metadata,
    _text("id", primary_key=True),
    _text("email", unique=True),
    _text("password_hash", nullable=True),
    _int("confirmed_us"),
    Column("totp_secret", LargeBinary),  # encrypted
    _int("totp_last_step", nullable=True),
    _int("created_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

member = Table(
    "member", metadata,
    _text("account_id", primary_key=True),
    _text("person_id", primary_key=True),
    _text("role"),
    _int("joined_us"),
    _int("has_limit_mails", default="1"),
    CheckConstraint("role IN ('owner', 'member')", name="member_role"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("member_person", member.c.person_id)

session = Table(
    "session", metadata,
    # Found by the digest of its cookie; `id` is what a list may show.
    _text("digest", primary_key=True),
    _text("id", unique=True),
    _text("person_id"),
    _text("account_id"),
    _text("began"),
    _int("created_us"),
    _int("seen_us"),
    _int("expires_us"),
    _int("authenticated_us"),
    _text("address"),
    _text("user_agent"),
    CheckConstraint("began IN ('password', 'mail', 'oauth', 'passkey')", name="session_began"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("session_person", session.c.person_id)
Index("session_expires", session.c.expires_us)

link = Table(
    "link", metadata,
    # Its token is made from the id and the server's secret, and stands nowhere.
    _text("id", primary_key=True),
    _text("purpose"),
    _text("email"),
    _text("person_id", nullable=True),
    _text("account_id", nullable=True),
    _text("data"),
    _int("created_us"),
    _int("expires_us"),
    _int("used_us", nullable=True),
    CheckConstraint(
        "purpose IN ('confirm', 'magic', 'reset', 'invite', 'change', 'code')", name="link_purpose"
    ),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("link_email", link.c.email, link.c.purpose)
Index("link_expires", link.c.expires_us)
Index("link_account", link.c.account_id)

recovery_code = Table(
    "recovery_code", metadata,
    _text("person_id", primary_key=True),
    _text("digest", primary_key=True),
    _int("used_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip

passkey = Table(
    "passkey", metadata,
    _text("id", primary_key=True),
    _text("person_id"),
    Column("public_key", LargeBinary, nullable=False),
    _int("sign_count"),
    _text("transports"),
    _text("name"),
    _int("created_us"),
    _int("used_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("passkey_person", passkey.c.person_id)

identity = Table(
    "identity", metadata,
    _text("issuer", primary_key=True),
    _text("subject", primary_key=True),
    _text("person_id"),
    _int("created_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("identity_person", identity.c.person_id)

ceremony = Table(
    "ceremony", metadata,
    # Found by the digest of a cookie; gone as soon as its browser comes back.
    _text("digest", primary_key=True),
    _text("kind"),
    _text("person_id", nullable=True),
    _text("data"),
    _int("expires_us"),
    CheckConstraint("kind IN ('passkey', 'totp', 'oauth')", name="ceremony_kind"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("ceremony_expires", ceremony.c.expires_us)

mail = Table(
    "mail", metadata,
    # `next_us` is when it is to be tried next; none is left when it was sent or given up.
    _text("id", primary_key=True),
    _text("email"),
    _text("template"),
    _text("data"),
    _text("link_id", nullable=True),
    _int("created_us"),
    _int("next_us", nullable=True),
    _int("tries"),
    _int("sent_us", nullable=True),
    _text("failed"),
    _text("account_id", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("mail_next", mail.c.next_us)
Index("mail_created", mail.c.created_us)

guess = Table(
    "guess", metadata,
    # What is counted in a sliding window: guesses of a password, mails to an address, sign-ups from a client.
    _text("subject", primary_key=True),
    _text("id", primary_key=True),
    _int("at_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("guess_at", guess.c.at_us)

audit = Table(
    "audit", metadata,
    # Rows are only added, and stay when the account is deleted: so no address of a person stands in them.
    _text("id", primary_key=True),
    _int("at_us"),
    _text("account_id", nullable=True),
    _text("person_id", nullable=True),
    _text("what"),
    _text("network"),
    _text("data"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("audit_account", audit.c.account_id, audit.c.at_us)
Index("audit_person", audit.c.person_id, audit.c.at_us)

limit_mark = Table(
    "limit_mark", metadata,
    # A mark on the way to a limit that an account has reached, and that its owners were written of: once a period.
    _text("account_id", primary_key=True),
    _int("period_start_us", primary_key=True),
    _text("name", primary_key=True),
    _int("percent", primary_key=True),
    _int("at_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
