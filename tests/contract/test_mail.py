"""Mails on their way: each is claimed by one, tried again until it is taken, and looks the same each time."""

import re
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import insert, text

from farebox.account.deliver_mail import FIRST_WAIT_SECONDS, GIVEN_UP_US, Delivery, reason_not_to_send
from farebox.adapters import mail_smtp
from farebox.adapters.mail_smtp import SmtpMailer
from farebox.domain.errors import LedgerUnavailable
from farebox.domain.mail import Sender, SmtpServer, parse_smtp
from farebox.domain.people import Mail
from farebox.ports.people import DueMail, Letter, MailNotSent, MailRefused
from farebox.store.database import Database
from farebox.store.mail_outbox import LEASE_SECONDS, StoredMailOutbox
from farebox.store.tables_people import mail
from tests.services.mail import MailServer, text_of
from tests.services.process import free_port
from tests.services.upstream.certificate import self_signed

ADA: Final = "ada@example.com"
SENDER: Final = Sender("Till", "hello@till.example")
LETTER: Final = Letter("mail_1", ADA, "A subject: ü", "In words: ü\n", "<p>In words: ü</p>\n")


def new_mail(number: int, due_us: int = 0, template: str = "note") -> Mail:
    return Mail(f"mail_{number:03}", ADA, template, "{}", None, due_us, due_us, 0, None, "")


class Books:
    """The outbox of one database, and a look into it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, *rows: Mail) -> None:
        with self._database.write() as connection:
            connection.execute(insert(mail), [row._asdict() for row in rows])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._database.write() as connection:
            done = connection.execute(text(sql))
            return [tuple(row) for row in done] if done.returns_rows else []

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


@pytest.fixture
def outbox(database: Database) -> Iterator[StoredMailOutbox]:
    with closing(StoredMailOutbox(database)) as found:
        yield found


# -- The outbox


def test_many_who_look_at_once_get_each_mail_once(database: Database, books: Books) -> None:
    books.write(*(new_mail(number) for number in range(40)))
    barrier = threading.Barrier(4)

    def take_all(_: int) -> list[str]:
        with closing(StoredMailOutbox(database)) as outbox:
            barrier.wait()
            found = []
            while (due := outbox.claim()) is not None:
                found.append(due.mail.id)
            return found

    with ThreadPoolExecutor(4) as pool:
        taken = [mail_id for each in pool.map(take_all, range(4)) for mail_id in each]
    assert sorted(taken) == [f"mail_{number:03}" for number in range(40)]


def test_a_mail_that_was_claimed_comes_again_when_its_process_must_be_dead(
    books: Books, outbox: StoredMailOutbox
) -> None:
    books.write(new_mail(1))
    assert outbox.claim() is not None
    assert outbox.claim() is None
    [(next_us, tries)] = books.rows("SELECT next_us, tries FROM mail")
    assert abs(next_us - books.now_us() - LEASE_SECONDS * 10**6) < 10 * 10**6
    assert tries == 1
    books.rows(f"UPDATE mail SET next_us = next_us - {LEASE_SECONDS * 10**6}")
    due = outbox.claim()
    assert due is not None
    assert (due.mail.id, due.mail.tries) == ("mail_001", 2)


def test_the_oldest_that_is_due_comes_first_and_none_before_its_time(books: Books, outbox: StoredMailOutbox) -> None:
    now_us = books.now_us()
    books.write(new_mail(1, now_us + 3_600 * 10**6), new_mail(2, now_us - 1), new_mail(3, now_us - 2))
    found = [outbox.claim(), outbox.claim(), outbox.claim()]
    assert [due.mail.id for due in found if due] == ["mail_003", "mail_002"]


def test_what_was_sent_is_never_due_again(books: Books, outbox: StoredMailOutbox) -> None:
    books.write(new_mail(1), new_mail(2))
    for _ in range(2):
        due = outbox.claim()
        assert due is not None
    outbox.sent("mail_001")
    outbox.put_off("mail_001", 0, "a slower process, which thinks that it failed")
    outbox.give_up("mail_002", "no such mailbox")
    outbox.sent("mail_002")
    rows = books.rows("SELECT id, next_us IS NULL, sent_us IS NULL, failed FROM mail ORDER BY id")
    assert [(mail_id, bool(done), bool(unsent)) for mail_id, done, unsent, _ in rows] == [
        ("mail_001", True, False), ("mail_002", True, False),
    ]  # fmt: skip
    assert outbox.claim() is None


def test_an_outbox_whose_connection_broke_opens_another(books: Books, outbox: StoredMailOutbox) -> None:
    books.write(new_mail(1))
    assert outbox.claim() is not None
    if outbox._own._database.is_sqlite:
        outbox._own._connection.close()
        with pytest.raises(Exception, match="closed"):
            outbox.sent("mail_001")
    else:
        outbox._own._database.interrupt(outbox._own._connection)
    outbox.sent("mail_001")
    assert books.rows("SELECT next_us FROM mail") == [(None,)]


def test_what_has_had_its_time_is_forgotten_and_nothing_else(books: Books, outbox: StoredMailOutbox) -> None:
    now_us, day_us = books.now_us(), 86_400 * 10**6
    for name, age_us in (("old", 31 * day_us), ("young", 0)):
        then_us = now_us - age_us
        for row in (
            f"mail VALUES ('{name}', 'a@x.example', 't', '{{}}', NULL, {then_us}, NULL, 1, {then_us}, '', NULL)",
            f"mail VALUES ('{name} waits', 'a@x.example', 't', '{{}}', NULL, {then_us}, {then_us}, 1, NULL, '', NULL)",
            f"guess VALUES ('x', '{name}', {then_us})",
            f"link VALUES ('{name}', 'magic', 'a', NULL, NULL, '{{}}', {then_us}, {then_us + day_us}, NULL)",
            f"session VALUES ('{name}', '{name}', 'p', 'a', 'mail', 0, 0, {then_us + day_us}, 0, '', '')",
        ):
            books.rows(f"INSERT INTO {row}")
    outbox.forget()
    for table in ("guess", "link", "session"):
        assert books.rows(f"SELECT id FROM {table}") == [("young",)]
    assert books.rows("SELECT id FROM mail ORDER BY id") == [("old waits",), ("young",), ("young waits",)]


# -- The sender


class Wayward:
    """A mailer that does what it is told."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Letter] = []
        self.closed = 0

    def send(self, letter: Letter) -> None:
        if self.answers:
            raise self.answers.pop(0)
        self.sent.append(letter)

    def close(self) -> None:
        self.closed += 1


def render(due: DueMail) -> Letter:
    return Letter(due.mail.id, due.mail.email, "S", "T", "H")


def test_a_mail_is_tried_again_later_and_later_until_it_is_taken(books: Books, outbox: StoredMailOutbox) -> None:
    books.write(new_mail(1, books.now_us()))
    mailer = Wayward(*(MailNotSent("the server is away") for _ in range(3)))
    delivery = Delivery(outbox, render, lambda: mailer)
    waits = []
    for _ in range(3):
        assert delivery.send_all() == 0
        [(next_us, failed)] = books.rows("SELECT next_us, failed FROM mail")
        waits.append((next_us - books.now_us()) / 10**6)
        assert failed == "the server is away"
        books.rows("UPDATE mail SET next_us = created_us")
    assert [-(-wait // FIRST_WAIT_SECONDS) for wait in waits] == [1, 2, 4]
    assert delivery.send_all() == 1
    assert [letter.id for letter in mailer.sent] == ["mail_001"]
    assert books.rows("SELECT failed FROM mail WHERE sent_us IS NOT NULL") == [("",)]
    assert delivery.send_all() == 0


def test_a_mail_that_will_never_be_taken_or_is_too_old_is_given_up(books: Books, outbox: StoredMailOutbox) -> None:
    now_us = books.now_us()
    books.write(new_mail(1, now_us - 2), new_mail(2, now_us - GIVEN_UP_US - 1))
    mailer = Wayward(MailNotSent("away"), MailRefused("550 no such mailbox"))
    assert Delivery(outbox, render, lambda: mailer).send_all() == 0
    assert books.rows("SELECT id, failed FROM mail WHERE next_us IS NULL AND sent_us IS NULL ORDER BY id") == [
        ("mail_001", "550 no such mailbox"), ("mail_002", "away"),
    ]  # fmt: skip
    assert mailer.closed == 1


def test_a_template_that_fails_does_not_hold_up_the_other_mails(books: Books, outbox: StoredMailOutbox) -> None:
    books.write(new_mail(1), new_mail(2))

    def broken(due: DueMail) -> Letter:
        if due.mail.id == "mail_001":
            raise KeyError("a variable of the founder's template")
        return render(due)

    mailer = Wayward()
    assert Delivery(outbox, broken, lambda: mailer).send_all() == 1
    assert [letter.id for letter in mailer.sent] == ["mail_002"]


@pytest.mark.parametrize(
    ("template", "link_id", "is_known", "is_alive", "reason"),
    [
        ("note", None, True, False, ""), ("note", None, False, False, ""),
        ("confirm", "link", False, True, ""), ("confirm", "link", False, False, "its link no longer works"),
        ("magic", "link", True, True, ""), ("magic", "link", True, False, "its link no longer works"),
        ("magic", "link", False, True, "nobody has this address"),
        ("reset", "link", False, True, "nobody has this address"),
        ("change", "link", False, True, ""), ("change", "link", True, True, "somebody has this address already"),
    ],
)  # fmt: skip
def test_a_mail_that_would_be_of_no_use_is_not_sent(
    template: str, link_id: str | None, reason: str, *, is_known: bool, is_alive: bool
) -> None:
    assert reason_not_to_send(DueMail(new_mail(1, 0, template)._replace(link_id=link_id), is_known, is_alive)) == reason


def test_with_nothing_to_send_no_server_is_asked(database: Database, outbox: StoredMailOutbox) -> None:
    del database

    def unwanted() -> Wayward:
        raise AssertionError("nothing is to be sent")

    assert Delivery(outbox, render, unwanted).send_all() == 0


def test_a_database_that_is_away_when_a_mail_was_sent_does_not_have_it_sent_again(
    books: Books, outbox: StoredMailOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.write(new_mail(1))
    monkeypatch.setattr("farebox.account.rounds.NOTE_WAIT_SECONDS", 0)
    sent, outages = outbox.sent, [LedgerUnavailable("away"), LedgerUnavailable("away")]

    def away(mail_id: str) -> None:
        if outages:
            raise outages.pop()
        sent(mail_id)

    monkeypatch.setattr(outbox, "sent", away)
    mailer = Wayward()
    assert Delivery(outbox, render, lambda: mailer).send_all() == 1
    books.rows(f"UPDATE mail SET next_us = next_us - {LEASE_SECONDS * 10**6}")
    assert Delivery(outbox, render, lambda: mailer).send_all() == 0
    assert len(mailer.sent) == 1


# -- SMTP


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as found:
        yield found


def test_a_letter_arrives_whole_in_text_and_html(server: MailServer) -> None:
    with closing(SmtpMailer(parse_smtp(server.url), SENDER)) as mailer:
        mailer.send(LETTER)
        mailer.send(LETTER)
    assert server.connections == 1
    assert server.envelopes == [("hello@till.example", [ADA])] * 2
    letter, again = server.letters
    assert letter["Message-ID"] == again["Message-ID"] == "<mail_1@till.example>"
    assert (letter["From"], letter["To"], letter["Subject"]) == ("Till <hello@till.example>", ADA, "A subject: ü")
    assert letter["Date"]
    assert letter["Auto-Submitted"] == "auto-generated"
    assert text_of(letter) == "In words: ü\n"
    html = letter.get_body(("html",))
    assert html is not None
    assert "<p>In words: ü</p>" in html.get_content()


@pytest.mark.parametrize(
    "letter",
    [
        LETTER._replace(subject="Hello\r\nBcc: eve@example.com"),
        LETTER._replace(subject="Hello\nBcc: eve@example.com"),
        LETTER._replace(to="ada@example.com\r\nBcc: eve@example.com"),
        LETTER._replace(to="ada@example.com, eve@example.com"),
        LETTER._replace(id="mail_1>\r\nBcc: eve@example.com"),
    ],
)
def test_no_header_and_no_recipient_can_be_smuggled_in(server: MailServer, letter: Letter) -> None:
    with closing(SmtpMailer(parse_smtp(server.url), SENDER)) as mailer, pytest.raises(ValueError):  # noqa: PT011
        mailer.send(letter)
    assert server.letters == []


def test_a_refused_recipient_is_final_and_a_busy_server_is_not(server: MailServer) -> None:
    with closing(SmtpMailer(parse_smtp(server.url), SENDER)) as mailer:
        server.refusals += ["550 5.1.1 no such mailbox", "450 4.2.0 greylisted"]
        with pytest.raises(MailRefused, match=re.escape("550 5.1.1 no such mailbox")):
            mailer.send(LETTER)
        with pytest.raises(MailNotSent, match=re.escape("450 4.2.0 greylisted")):
            mailer.send(LETTER)
        server.data_answers += ["554 5.7.1 spam", "451 4.3.0 later"]
        with pytest.raises(MailRefused, match=re.escape("554 5.7.1 spam")):
            mailer.send(LETTER)
        with pytest.raises(MailNotSent, match=re.escape("451 4.3.0 later")):
            mailer.send(LETTER)
        mailer.send(LETTER)
    assert len(server.letters) == 1


def test_a_server_that_looks_into_a_letter_for_long_is_sent_it_once(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken the letter: whoever does not wait for its answer sends another one, and the next one as well."""
    monkeypatch.setattr(mail_smtp, "SECONDS_MAX", 0.5)
    server.data_seconds = 1.0
    with closing(SmtpMailer(parse_smtp(server.url), SENDER)) as mailer:
        mailer.send(LETTER)
        server.data_seconds = 0.0
        mailer.send(LETTER._replace(id="mail_2"))
    assert (len(server.letters), server.connections) == (2, 1)


def test_nobody_else_takes_a_mail_while_a_slow_server_is_still_talked_to() -> None:
    """Two addresses to connect to, a greeting, EHLO twice, STARTTLS, its handshake, a log-in of two steps, from, to."""
    opening, letter = 11 * mail_smtp.SECONDS_MAX, 2 * mail_smtp.TAKING_SECONDS_MAX
    assert opening + letter < LEASE_SECONDS


def test_a_server_that_is_not_there_or_hangs_up_is_a_wait() -> None:
    with pytest.raises(MailNotSent, match=r"127\.0\.0\.1:\d+: .*refused"):
        SmtpMailer(parse_smtp(f"smtp://127.0.0.1:{free_port()}"), SENDER).send(LETTER)
    server = MailServer()
    with closing(SmtpMailer(parse_smtp(server.url), SENDER)) as mailer:
        with server:
            mailer.send(LETTER)
        with pytest.raises(MailNotSent):
            mailer.send(LETTER)
        with MailServer(port=server.port) as again:
            mailer.send(LETTER)
        assert len(again.letters) == 1


def test_a_password_goes_over_an_encrypted_line_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    if certificate is None:
        pytest.skip("there is no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ExitStack() as stack:
        sealed = stack.enter_context(MailServer(user="till", password="s3cret", tls_context=context))
        plain = stack.enter_context(MailServer())
        over_tls = stack.enter_context(MailServer(ssl_context=context))
        for server in (_to(sealed, "s3cret"), _to(over_tls, "s3cret")._replace(is_tls=True)):
            with pytest.raises(MailNotSent, match="certificate verify failed"):
                SmtpMailer(server, SENDER).send(LETTER)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with closing(SmtpMailer(_to(sealed, "s3cret"), SENDER)) as mailer:
            mailer.send(LETTER)
        assert len(sealed.letters) == 1
        with pytest.raises(MailNotSent, match="535") as told:
            SmtpMailer(_to(sealed, "not-the-s3cret"), SENDER).send(LETTER)
        assert "s3cret" not in str(told.value)
        with pytest.raises(MailNotSent, match="the server offers no STARTTLS"):
            SmtpMailer(_to(plain, "s3cret"), SENDER).send(LETTER)
        assert plain.letters == []
        foreign = stack.enter_context(MailServer(user="müller", password="päss", tls_context=context))
        with closing(SmtpMailer(_to(foreign, "päss")._replace(user="müller"), SENDER)) as mailer:
            mailer.send(LETTER)
        assert len(foreign.letters) == 1
        with pytest.raises(MailNotSent, match="535"):
            SmtpMailer(_to(foreign, "paß")._replace(user="müller"), SENDER).send(LETTER)


def _to(server: MailServer, password: str) -> SmtpServer:
    return SmtpServer("127.0.0.1", server.port, is_tls=False, user="till", password=password)
