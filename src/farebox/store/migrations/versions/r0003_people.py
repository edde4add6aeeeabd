"""People who log in: members, sessions, mailed links, the mail itself, guesses, and an audit log; caps of customers.

A cap of a key is counted on a meter of its own, so a meter has a name instead of a mode.
"""

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES: Final = (
    """
CREATE TABLE person (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT,
    confirmed_us BIGINT NOT NULL,
    totp_secret BYTEA,
    totp_last_step BIGINT,
    created_us BIGINT NOT NULL
)""",
    """
CREATE TABLE member (
    account_id TEXT NOT NULL,
    person_id TEXT NOT NULL,
    role TEXT NOT NULL,
    joined_us BIGINT NOT NULL,
    has_limit_mails BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, person_id),
    CONSTRAINT member_role CHECK (role IN ('owner', 'member'))
)""",
    """
CREATE TABLE session (
    digest TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    person_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    began TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    authenticated_us BIGINT NOT NULL,
    address TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    CONSTRAINT session_began CHECK (began IN ('password', 'mail', 'oauth', 'passkey'))
)""",
    """
CREATE TABLE link (
    id TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    email TEXT NOT NULL,
    person_id TEXT,
    account_id TEXT,
    data TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    used_us BIGINT,
    CONSTRAINT link_purpose CHECK (purpose IN ('confirm', 'magic', 'reset', 'invite', 'change', 'code'))
)""",
    """
CREATE TABLE recovery_code (
    person_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    used_us BIGINT,
    PRIMARY KEY (person_id, digest)
)""",
    """
CREATE TABLE passkey (
    id TEXT NOT NULL PRIMARY KEY,
    person_id TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    sign_count BIGINT NOT NULL,
    transports TEXT NOT NULL,
    name TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    used_us BIGINT
)""",
    """
CREATE TABLE identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person_id TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
)""",
    """
CREATE TABLE ceremony (
    digest TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    person_id TEXT,
    data TEXT NOT NULL,
    expires_us BIGINT NOT NULL,
    CONSTRAINT ceremony_kind CHECK (kind IN ('passkey', 'totp', 'oauth'))
)""",
    """
CREATE TABLE mail (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    template TEXT NOT NULL,
    data TEXT NOT NULL,
    link_id TEXT,
    created_us BIGINT NOT NULL,
    next_us BIGINT,
    tries BIGINT NOT NULL,
    sent_us BIGINT,
    failed TEXT NOT NULL,
    account_id TEXT
)""",
    """
CREATE TABLE guess (
    subject TEXT NOT NULL,
    id TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (subject, id)
)""",
    """
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    at_us BIGINT NOT NULL,
    account_id TEXT,
    person_id TEXT,
    what TEXT NOT NULL,
    network TEXT NOT NULL,
    data TEXT NOT NULL
)""",
    """
CREATE TABLE limit_mark (
    account_id TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    name TEXT NOT NULL,
    percent BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, period_start_us, name, percent)
)""",
)

INDEXES: Final = (
    "CREATE INDEX member_person ON member (person_id)",
    "CREATE INDEX session_person ON session (person_id)",
    "CREATE INDEX session_expires ON session (expires_us)",
    "CREATE INDEX link_email ON link (email, purpose)",
    "CREATE INDEX link_expires ON link (expires_us)",
    "CREATE INDEX link_account ON link (account_id)",
    "CREATE INDEX passkey_person ON passkey (person_id)",
    "CREATE INDEX identity_person ON identity (person_id)",
    "CREATE INDEX ceremony_expires ON ceremony (expires_us)",
    "CREATE INDEX mail_next ON mail (next_us)",
    "CREATE INDEX mail_created ON mail (created_us)",
    "CREATE INDEX guess_at ON guess (at_us)",
    "CREATE INDEX audit_account ON audit (account_id, at_us)",
    "CREATE INDEX audit_person ON audit (person_id, at_us)",
)

COLUMNS: Final = (
    "ALTER TABLE api_key ADD COLUMN scopes TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_key ADD COLUMN cap_calls BIGINT",
    (
        "ALTER TABLE api_key ADD COLUMN cap_id TEXT NOT NULL DEFAULT ''"
        " CONSTRAINT api_key_cap CHECK ((cap_calls IS NULL) = (cap_id = ''))"
    ),
    "ALTER TABLE meter RENAME COLUMN mode TO name",
    "ALTER TABLE hold ADD COLUMN cap_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE hold ADD COLUMN cap_calls BIGINT",
    "ALTER TABLE usage_record ADD COLUMN cap_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE usage_record ADD COLUMN cap_calls BIGINT",
    "ALTER TABLE account ADD COLUMN spend_cap_nanodollars BIGINT",
    "ALTER TABLE account ADD COLUMN closed_us BIGINT",
)

APPEND_ONLY_SQLITE: Final = (
    """
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    # A replace deletes without firing the trigger above, unless recursive_triggers is on.
    """
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
)

APPEND_ONLY_POSTGRES: Final = (
    """
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$""",
    """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()""",
)


def _for_sqlite(statement: str) -> str:
    # The primary key is how a row is found; a second tree by rowid would only cost writes.
    return statement.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB") + " STRICT, WITHOUT ROWID"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in TABLES:
        op.execute(_for_sqlite(statement) if sqlite else statement)
    for statement in INDEXES:
        op.execute(statement)
    for statement in COLUMNS:
        op.execute(statement.replace("BIGINT", "INTEGER") if sqlite else statement)
    for statement in APPEND_ONLY_SQLITE if sqlite else APPEND_ONLY_POSTGRES:
        op.execute(statement)
