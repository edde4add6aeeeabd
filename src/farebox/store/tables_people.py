"""The tables of people: who logs in, what was mailed to them, and what happened."""

from sqlalchemy import CheckConstraint, Column, Index, LargeBinary, Table

from farebox.store.tables import int_column, metadata, text_column

person = Table(
    "person", metadata,
    text_column("id", primary_key=True),
    text_column("email", unique=True),
    text_column("password_hash", nullable=True),
    int_column("confirmed_us"),
    Column("totp_secret", LargeBinary),  # encrypted
    int_column("totp_last_step", nullable=True),
    int_column("created_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

member = Table(
    "member", metadata,
    text_column("account_id", primary_key=True),
    text_column("person_id", primary_key=True),
    text_column("role"),
    int_column("joined_us"),
    int_column("has_limit_mails", default="1"),
    CheckConstraint("role IN ('owner', 'member')", name="member_role"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("member_person", member.c.person_id)

session = Table(
    "session", metadata,
    # Found by the digest of its cookie; `id` is what a list may show.
    text_column("digest", primary_key=True),
    text_column("id", unique=True),
    text_column("person_id"),
    text_column("account_id"),
    text_column("began"),
    int_column("created_us"),
    int_column("seen_us"),
    int_column("expires_us"),
    int_column("authenticated_us"),
    text_column("address"),
    text_column("user_agent"),
    CheckConstraint("began IN ('password', 'mail', 'oauth', 'passkey')", name="session_began"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("session_person", session.c.person_id)
Index("session_expires", session.c.expires_us)

link = Table(
    "link", metadata,
    # Its token is made from the id and the server's secret, and is stored nowhere.
    text_column("id", primary_key=True),
    text_column("purpose"),
    text_column("email"),
    text_column("person_id", nullable=True),
    text_column("account_id", nullable=True),
    text_column("data"),
    int_column("created_us"),
    int_column("expires_us"),
    int_column("used_us", nullable=True),
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
    text_column("person_id", primary_key=True),
    text_column("digest", primary_key=True),
    int_column("used_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip

passkey = Table(
    "passkey", metadata,
    text_column("id", primary_key=True),
    text_column("person_id"),
    Column("public_key", LargeBinary, nullable=False),
    int_column("sign_count"),
    text_column("transports"),
    text_column("name"),
    int_column("created_us"),
    int_column("used_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("passkey_person", passkey.c.person_id)

identity = Table(
    "identity", metadata,
    text_column("issuer", primary_key=True),
    text_column("subject", primary_key=True),
    text_column("person_id"),
    int_column("created_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("identity_person", identity.c.person_id)

ceremony = Table(
    "ceremony", metadata,
    # Found by the digest of a cookie; deleted when its browser comes back, unless it is for a second factor.
    text_column("digest", primary_key=True),
    text_column("kind"),
    text_column("person_id", nullable=True),
    text_column("data"),
    int_column("expires_us"),
    CheckConstraint("kind IN ('passkey', 'totp', 'oauth')", name="ceremony_kind"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("ceremony_expires", ceremony.c.expires_us)

mail = Table(
    "mail", metadata,
    # `next_us` is when it is to be tried next; null once it was sent or given up.
    text_column("id", primary_key=True),
    text_column("email"),
    text_column("template"),
    text_column("data"),
    text_column("link_id", nullable=True),
    int_column("created_us"),
    int_column("next_us", nullable=True),
    int_column("tries"),
    int_column("sent_us", nullable=True),
    text_column("failed"),
    text_column("account_id", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("mail_next", mail.c.next_us)
Index("mail_created", mail.c.created_us)

guess = Table(
    "guess", metadata,
    # What is counted in a sliding window: guesses of a password, mails to an address, sign-ups from a client.
    text_column("subject", primary_key=True),
    text_column("id", primary_key=True),
    int_column("at_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("guess_at", guess.c.at_us)

audit = Table(
    "audit", metadata,
    # Rows are only added, and stay when the account is deleted: so no address of a person stands in them.
    text_column("id", primary_key=True),
    int_column("at_us"),
    text_column("account_id", nullable=True),
    text_column("person_id", nullable=True),
    text_column("what"),
    text_column("network"),
    text_column("data"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("audit_account", audit.c.account_id, audit.c.at_us)
Index("audit_person", audit.c.person_id, audit.c.at_us)

limit_mark = Table(
    "limit_mark", metadata,
    # A mark on the way to a limit that an account has reached, and that its owners were told of, once a period.
    text_column("account_id", primary_key=True),
    int_column("period_start_us", primary_key=True),
    text_column("name", primary_key=True),
    int_column("percent", primary_key=True),
    int_column("at_us"),
    sqlite_with_rowid=False,
)  # fmt: skip
