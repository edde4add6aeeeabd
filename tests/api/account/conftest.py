"""A shop with people in it: Ada has an account, Bea is a member of it, Eve has another."""

from collections.abc import Iterator

import pytest

from tests.api.account.members import APP, Member, new
from tests.api.conftest import empty_database
from tests.api.place import PASSWORD, Place
from tests.api.shop import Shop
from tests.services.mail import MailServer


@pytest.fixture(scope="module")
def place(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("account")
    with empty_database(database_kind, folder, request) as url, MailServer() as server:
        shop = Shop(folder, url, None, APP)
        settings = {
            "SMTP_URL": server.url,
            "FAREBOX_PUBLIC_URL": "https://till.example",
            "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
        }
        with shop.served(workers=2, **settings) as served:
            yield Place(shop, served, server)
            assert "Traceback" not in served.output()


@pytest.fixture
def ada(place: Place) -> Member:
    """Somebody with an account of their own."""
    email = new("ada")
    return Member(place, email, place.joined(email))


@pytest.fixture
def bea(place: Place, ada: Member) -> Member:
    """Somebody who is a member of Ada's account, and of no other."""
    email, browser = new("bea"), place.browser()
    browser.post(ada.invite(email), password=PASSWORD)
    return Member(place, email, browser)


@pytest.fixture
def eve(place: Place) -> Member:
    """Somebody with another account."""
    email = new("eve")
    return Member(place, email, place.joined(email))
