"""Mails of a real server: none is lost by `kill -9`, and none comes twice."""

import re
import socket
from pathlib import Path
from typing import Final

import pytest

from tests.api.shop import SECRET, Shop
from tests.services.browser import Browser
from tests.services.mail import MailServer, text_of
from tests.services.process import free_port, wait_until
from tests.services.served import Served

PASSWORD: Final = "three odd words"
LINK: Final = re.compile(r"https://till\.example(/link/\S+)")


def serving(shop: Shop, port: int, workers: int = 1) -> Served:
    settings = {"SMTP_URL": f"smtp://127.0.0.1:{port}", "FAREBOX_PUBLIC_URL": "https://till.example"}
    return shop.served(workers=workers, FAREBOX_SWEEP_SECONDS="0.2", **settings)


def sign_up(served: Served, email: str) -> Browser:
    browser = Browser(served.url)
    page = browser.post("/signup", email=email, password=PASSWORD)
    assert (page.status, page.header("location")) == (303, "/signup/sent"), page.text
    return browser


def test_mails_survive_kill_9_between_sign_up_and_sending_and_are_sent_once(
    fresh_database_url: str, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    port = free_port()
    # A server that takes the connection and says nothing: the first mail is claimed and in hand, the second waits.
    with socket.create_server(("127.0.0.1", port)) as silent, serving(shop, port) as served:
        browsers = [sign_up(served, f"{name}@example.com") for name in ("ada", "bob")]
        taken, _ = silent.accept()
        wait_until(lambda: shop.scalar("SELECT sum(tries) FROM mail") == 1, "a mail to be claimed")
        served.kill()
        taken.close()
        silent.close()
        assert shop.query("SELECT count(*) FROM mail WHERE sent_us IS NULL AND next_us IS NOT NULL") == [(2,)]
        assert shop.query("SELECT count(*) FROM account") == [(0,)]
        with MailServer(port=port) as server:
            served.start()
            wait_until(lambda: len(server.letters) == 1, "the mail that nobody had in hand")
            noted = "SELECT count(*) FROM mail WHERE sent_us IS NOT NULL"
            wait_until(lambda: shop.scalar(noted) == 1, "that to be noted")
            # What a minute does: the dead process no longer has the other one.
            shop.query("UPDATE mail SET next_us = created_us WHERE sent_us IS NULL")
            wait_until(lambda: len(server.letters) == 2, "the mail that the dead process had in hand")
            wait_until(lambda: shop.query("SELECT count(*) FROM mail WHERE sent_us IS NULL") == [(0,)], "both noted")
            for name, browser in zip(("ada", "bob"), browsers, strict=True):
                [letter] = server.to(f"{name}@example.com")
                found = LINK.search(text_of(letter))
                assert found is not None
                assert browser.post(found[1]).header("location") == "/playground"
                assert f"{name}@example.com" in browser.get("/overview").text
            assert len(server.letters) == len({letter["Message-ID"] for letter in server.letters}) == 2
        assert "Traceback" not in served.output()


def test_processes_that_all_send_send_each_mail_once(fresh_database_url: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    with MailServer() as server, serving(shop, server.port, workers=3) as served:
        emails = [f"{number}@example.com" for number in range(15)]
        for email in emails:
            sign_up(served, email)
        wait_until(
            lambda: shop.query("SELECT count(*) FROM mail WHERE sent_us IS NOT NULL") == [(15,)], "all to be sent"
        )
        assert sorted(recipient for _, recipients in server.envelopes for recipient in recipients) == sorted(emails)
        assert shop.query("SELECT DISTINCT tries FROM mail") == [(1,)]


def test_a_stolen_database_opens_nothing(fresh_database_url: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    with MailServer() as server, serving(shop, server.port) as served:
        sign_up(served, "ada@example.com")
        wait_until(lambda: len(server.letters) == 1, "the mail")
        found = LINK.search(text_of(server.letters[0]))
        assert found is not None
        everything = repr([shop.query(f"SELECT * FROM {table}") for table in ("link", "mail", "guess", "audit")])
        for hidden in (found[1].partition("-")[2], PASSWORD, SECRET):
            assert hidden not in everything
            assert hidden not in served.output()


def test_without_a_mail_server_mails_are_printed_and_that_is_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None)
    with shop.served(workers=1) as served:
        browser = sign_up(served, "ada@example.com")
        assert "No SMTP_URL: mails are printed here, and sent to nobody." in served.output()
        wait_until(lambda: "Mail to ada@example.com: Confirm your address for Till" in served.output(), "the mail")
        found = re.search(rf"{re.escape(served.url)}(/link/\S+)", served.output())
        assert found is not None
        assert browser.get("/dev/mail").status == 404
        assert browser.post(found[1]).header("location") == "/playground"


def test_a_process_that_serves_calls_and_looks_for_mails_has_loaded_nothing_for_pages(tmp_path: Path) -> None:
    """What is loaded is told by the map of the process: compiled modules are files."""
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None)
    with shop.served_in_earnest(workers=1, FAREBOX_SWEEP_SECONDS="0.05") as served:
        maps = Path(f"/proc/{served.pid}/maps")
        if not maps.exists():
            pytest.skip("no /proc here")
        before = maps.read_text()
        for module in ("argon2", "markupsafe", "sqlalchemy", "cryptography"):
            assert module not in before
        sign_up(served, "ada@example.com")
        after = maps.read_text()
        for module in ("argon2", "markupsafe", "sqlalchemy"):
            assert module in after
