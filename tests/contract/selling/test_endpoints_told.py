"""Webhooks: an endpoint that is not there, or is not told of all, is seen by the doctor and mended by one command."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stripe import WebhookEndpoint

from farebox.domain.webhooks import TYPES
from tests.contract.selling.test_settings_told import APP, said
from tests.services.command import farebox
from tests.services.stripe import StripeStandin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes nothing

PUBLIC = "https://till.example"
URL = f"{PUBLIC}/stripe/webhook"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        yield standin


@pytest.fixture
def empty(own: StripeStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StripeStandin:
    """An account whose endpoints are gone, and a folder that sells by it."""
    api = own.client().v1.webhook_endpoints
    for one in api.list({"limit": 100}).data:
        api.delete(one.id)
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return own


def sync(stripe: StripeStandin, public_url: str = PUBLIC, code: int = 0) -> str:
    settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "FAREBOX_PUBLIC_URL": public_url}
    done = farebox(Path.cwd(), "stripe", "sync", "--yes", **settings)
    assert done.returncode == code, done
    return done.stdout


def wrong(stripe: StripeStandin, public_url: str = PUBLIC) -> list[str]:
    """What the doctor says of webhooks that is to be mended."""
    return [line for line in said(stripe, public_url=public_url) if line.startswith("FIX") and "webhook" in line]


def endpoints(stripe: StripeStandin) -> list[WebhookEndpoint]:
    return stripe.client().v1.webhook_endpoints.list().data


def change(stripe: StripeStandin, **values: object) -> None:
    [one] = endpoints(stripe)
    given: Any = values
    stripe.client().v1.webhook_endpoints.update(one.id, given)


def test_one_command_makes_the_endpoint_and_prints_what_it_signs_with_once(empty: StripeStandin) -> None:
    [line] = wrong(empty)
    assert f"no webhook endpoint at {URL}" in line
    assert line.endswith("→ farebox stripe sync, which makes it and prints its secret")
    printed = sync(empty)
    assert f"  + webhook  {URL}" in printed
    [made] = endpoints(empty)
    assert (made.url, sorted(made.enabled_events), made.status) == (URL, sorted(TYPES), "enabled")
    [secret] = re.findall(r"^STRIPE_WEBHOOK_SECRET=(whsec_\w+)$", printed, re.MULTILINE)
    with closing(sqlite3.connect(empty.path)) as database:
        [[kept]] = database.execute("SELECT json_extract(body, '$._secret') FROM object WHERE id = ?", (made.id,))
    assert secret == kept
    assert wrong(empty) == []
    again = sync(empty)
    assert ("Nothing to do" in again, "whsec_" in again, len(endpoints(empty))) == (True, False, 1)


def test_an_endpoint_that_lacks_one_type_is_told_with_its_name_and_mended(empty: StripeStandin) -> None:
    kinds = tuple(kind for kind in TYPES if kind != "invoice.paid")
    empty.tell(URL, (*kinds, "price.created"))
    assert wrong(empty) == [
        f"FIX stripe: the webhook endpoint at {URL} is not told of invoice.paid → farebox stripe sync"
    ]
    printed = sync(empty)
    assert ("told of invoice.paid as well" in printed, "whsec_" in printed) == (True, False), printed
    [mended] = endpoints(empty)
    assert set(mended.enabled_events) == {*TYPES, "price.created"}, "what else it is told of stays"
    assert wrong(empty) == []


def test_one_that_is_disabled_is_told_and_enabled_and_one_for_everything_lacks_nothing(empty: StripeStandin) -> None:
    empty.tell(URL)
    assert wrong(empty) == []
    change(empty, disabled=True)
    assert wrong(empty) == [f"FIX stripe: the webhook endpoint at {URL} is disabled → farebox stripe sync"]
    assert "enabled again" in sync(empty)
    assert [(one.status, one.enabled_events) for one in endpoints(empty)] == [("enabled", ["*"])]
    assert wrong(empty) == []


def test_somebody_elses_endpoint_is_not_ours_and_is_left_alone(empty: StripeStandin) -> None:
    empty.tell("https://other.example/stripe/webhook", ("price.created",))
    assert f"no webhook endpoint at {URL}" in wrong(empty)[0]
    sync(empty)
    found = {one.url: one.enabled_events for one in endpoints(empty)}
    assert found["https://other.example/stripe/webhook"] == ["price.created"]
    assert set(found) == {URL, "https://other.example/stripe/webhook"}


@pytest.mark.parametrize("public_url", ["", "http://127.0.0.1:8000"])
def test_without_an_address_that_stripe_would_take_the_list_to_choose_is_printed(
    empty: StripeStandin, public_url: str
) -> None:
    [line] = wrong(empty, public_url)
    assert "FAREBOX_PUBLIC_URL" in line
    printed = sync(empty, public_url)
    chosen = [word for word in printed.split() if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", word)]
    assert chosen == list(TYPES)
    assert endpoints(empty) == []
    # What was chosen by hand will do, wherever it leads to.
    empty.tell("https://by-hand.example/stripe/webhook", TYPES[1:])
    [line] = wrong(empty, public_url)
    assert f"the webhook endpoint at https://by-hand.example/stripe/webhook is not told of {TYPES[0]} → choose" in line
    assert TYPES[3] not in sync(empty, public_url)
    change(empty, enabled_events=list(TYPES))
    assert wrong(empty, public_url) == []
    change(empty, disabled=True)
    assert "enable it at https://dashboard" in wrong(empty, public_url)[0]


def test_a_key_that_may_not_look_at_endpoints_is_no_bad_key(empty: StripeStandin) -> None:
    empty.fault("status", status=403, path="/v1/webhook_endpoints", times=None)
    found = said(empty)
    assert TYPES[0] in sync(empty, "")
    empty.heal()
    assert (found[0][:4], found[-1][:4]) == ("ok  ", "note")
    assert not any("endpoint" in line for line in found[:-1])
    assert "look at https://dashboard.stripe.com/webhooks" in found[-1]
