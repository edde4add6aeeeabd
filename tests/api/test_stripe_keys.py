"""A key that is none is refused when something is started; one that Stripe does not take is told, and calls go on."""

from pathlib import Path
from typing import Final

import pytest

from farebox.domain.stripe_keys import KEY_REMEDY, SIGNING_REMEDY, wrong_webhook_secret
from tests.api.shop import Shop, ask, send
from tests.api.test_cli_dev import dev
from tests.services.command import farebox
from tests.services.process import free_port, wait_until
from tests.services.stripe import StripeStandin

APP: Final = 'from farebox import Farebox, Plan\napp = Farebox("Till", plans=[Plan("free"), Plan("pro", usd=29)])\n'
GOOD: Final = "sk_test_of_the_tests"
NOWHERE: Final = "http://127.0.0.1:9"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None, APP)


@pytest.mark.parametrize("command", ["serve", "dev", "stripe sync"])
def test_what_cannot_be_a_key_is_refused_in_a_sentence_without_it(shop: Shop, command: str) -> None:
    port = [] if command == "stripe sync" else ["--port", str(free_port())]
    for key, secret, sentence in (
        ("pk_test_of_a_page", "", f"STRIPE_SECRET_KEY is a publishable key, which cannot sell anything; {KEY_REMEDY}."),
        ("sk_test_of_the_tests\n", "", f"STRIPE_SECRET_KEY has a blank or an end of line around it; {KEY_REMEDY}."),
        (GOOD, "we_of_an_endpoint", f"{wrong_webhook_secret('x')}; {SIGNING_REMEDY}."),
    ):
        settings = {"STRIPE_SECRET_KEY": key, "STRIPE_API_BASE": NOWHERE, "STRIPE_WEBHOOK_SECRET": secret}
        done = farebox(shop.folder, *command.split(), *port, **shop.settings, **settings)
        assert (done.returncode, done.stderr.splitlines()) == (1, [f"farebox: {sentence}"]), done
        for hidden in filter(None, (key.strip(), secret)):
            assert hidden not in done.stdout + done.stderr


def test_the_doctor_says_the_same_and_the_one_thing_to_do(shop: Shop) -> None:
    settings = {**shop.settings, "STRIPE_SECRET_KEY": "pk_test_of_a_page", "STRIPE_API_BASE": NOWHERE}
    done = farebox(shop.folder, "doctor", "--port", str(free_port()), **settings)
    line = f"FIX stripe: STRIPE_SECRET_KEY is a publishable key, which cannot sell anything → {KEY_REMEDY}"
    assert (done.returncode, line in done.stdout.splitlines()) == (1, True), done.stdout
    # Also where it is alone: serving stops at it.
    settings = {**shop.settings, "STRIPE_WEBHOOK_SECRET": "we_of_an_endpoint"}
    done = farebox(shop.folder, "doctor", "--port", str(free_port()), **settings)
    line = f"FIX stripe: {wrong_webhook_secret('x')} → {SIGNING_REMEDY}"
    assert (done.returncode, line in done.stdout.splitlines()) == (1, True), done.stdout


@pytest.mark.parametrize("key", ["sk_live_of_the_tests", "rk_live_of_the_tests"])
def test_real_money_is_for_serve_and_not_for_dev(tmp_path: Path, shop: Shop, key: str) -> None:
    with StripeStandin(tmp_path, key) as stripe:
        settings = {"STRIPE_SECRET_KEY": key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": "whsec_x"}
        done = farebox(shop.folder, "dev", "--port", str(free_port()), **shop.settings, **settings)
        assert done.returncode == 1, done
        assert "STRIPE_SECRET_KEY is a live key" in done.stderr
        found = farebox(shop.folder, "doctor", "--port", str(free_port()), **shop.settings, **settings).stdout
        assert ", live\n" in found, found
        with shop.served(workers=1, **settings) as served:
            assert send(ask(served, shop.new_key("free"))).status == 200


def test_a_key_that_stripe_does_not_take_is_told_at_once_and_calls_go_on(tmp_path: Path, shop: Shop) -> None:
    wrong = "sk_test_that_was_rolled"
    with StripeStandin(tmp_path) as stripe:
        settings = {"STRIPE_SECRET_KEY": wrong, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": "whsec_x"}
        with shop.served(workers=1, **settings) as served:
            assert send(ask(served, shop.new_key("free"))).status == 200
            said = served.output()
        done = farebox(shop.folder, "doctor", "--port", str(free_port()), **shop.settings, **settings)
        with dev(shop.folder, "--port", str(free_port()), **shop.settings, **settings) as process:
            wait_until(lambda: "Warning: stripe: " in process.output(), "the warning")
            tried = process.output()
    [warning] = [line for line in said.splitlines() if line.startswith("Warning: stripe: ")]
    assert warning in tried.splitlines()
    assert "Stripe does not know this key" in warning
    assert "STRIPE_SECRET_KEY" in warning
    assert "https://dashboard.stripe.com/apikeys" in warning
    assert said.index(warning) < said.index("is served at"), "it is told first"
    assert warning.replace("Warning: ", "FIX ") in done.stdout.splitlines()
    assert done.returncode == 1
    assert wrong not in said + tried + done.stdout + done.stderr


@pytest.mark.parametrize("fault", [{"kind": "slow", "seconds": 600}, {"kind": "status", "status": 503}])
def test_a_stripe_that_does_not_answer_keeps_nobody_from_serving(
    tmp_path: Path, shop: Shop, fault: dict[str, object]
) -> None:
    with StripeStandin(tmp_path) as stripe:
        stripe.control("faults", **fault, times=None)
        settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": "whsec_x"}
        with shop.served(workers=1, **settings) as served:
            assert send(ask(served, shop.new_key("free"))).status == 200
            assert f"{stripe.url} does not answer" in served.output()
