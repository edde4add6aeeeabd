"""What keeps customers from buying is told in a sentence, by the doctor and when serving begins."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from farebox.cli.doctor_stripe import check_stripe
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.webhooks import TYPES
from farebox.settings import Settings
from tests.contract.selling.counter import PRODUCT, Counter
from tests.services.command import farebox
from tests.services.stripe import StripeStandin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes nothing

APP = """
from farebox import Farebox, Pack, Plan

app = Farebox("Till", plans=[Plan("free", calls=2), Plan("pro", usd=29, calls=5, overage_usd="0.01")],
              packs=[Pack("small", usd=10)])
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is none leaves its file there, and not in the repository."""
    monkeypatch.chdir(tmp_path)


def said(
    stripe: StripeStandin,
    url: str = "sqlite:///none.db",
    key: str = "",
    secret: str = "whsec_x",  # noqa: S107  # none
    public_url: str = "",
    product: Product | None = PRODUCT,
) -> list[str]:
    settings = Settings().model_copy(
        update={
            "database_url": url,
            "stripe_secret_key": SecretStr(key or stripe.key),
            "stripe_api_base": stripe.url,
            "stripe_webhook_secret": SecretStr(secret) if secret else None,
            "public_url": public_url,
        }
    )
    return [str(finding) for finding in check_stripe(settings, product)]


def test_with_everything_set_up_nothing_is_wrong(counter: Counter, migrated_url: str) -> None:
    counter.stripe.tell("https://till.example/stripe/webhook", TYPES)
    found = said(counter.stripe, migrated_url, public_url="https://till.example/")
    assert [line[:3] for line in found] == ["ok ", "ok "]
    assert "in test mode" in found[0]
    assert found[1] == "ok  stripe: webhooks are sent to https://till.example/stripe/webhook"


def test_a_bad_key_is_told_without_the_key(counter: Counter) -> None:
    for key in ("sk_test_wrong_one", "pk_test_publishable", "something"):
        [line] = said(counter.stripe, key=key)
        assert line.startswith("FIX stripe:")
        assert "STRIPE_SECRET_KEY" in line
        assert key not in line


def test_a_missing_webhook_secret_and_a_stripe_that_is_away_are_told(counter: Counter) -> None:
    assert "STRIPE_WEBHOOK_SECRET is not set" in said(counter.stripe, secret="")[-1]
    assert "does not begin with whsec_" in said(counter.stripe, secret="x")[-1]
    counter.stripe.fault("status", status=503, times=None)
    [line] = said(counter.stripe)
    counter.stripe.heal()
    assert "does not answer" in line


def test_customers_that_the_key_does_not_know_are_told(counter: Counter, migrated_url: str) -> None:
    account_id = counter.account()
    counter.till.billing.set_customer(account_id, "cus_of_another_mode")
    found = said(counter.stripe, migrated_url)
    assert any("cus_of_another_mode" in line and line.startswith("FIX") for line in found)


def test_what_is_not_there_is_told_of_a_product_that_is_known(counter: Counter, migrated_url: str) -> None:
    found = said(counter.stripe, migrated_url, product=Product(plans=(Plan("gold", usd=7),)))
    assert any("1 of your prices are not there" in line for line in found)
    [line] = said(counter.stripe, migrated_url, product=None)
    assert line.startswith("ok  stripe: the key is of ")


def test_the_command_shows_the_difference_asks_and_is_done_once(stripe: StripeStandin, tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as own:
        del stripe
        (tmp_path / "app.py").write_text(APP)
        settings = {"STRIPE_SECRET_KEY": own.key, "STRIPE_API_BASE": own.url}
        command = [sys.executable, "-m", "farebox", "stripe", "sync"]
        asked = subprocess.run(
            command, cwd=tmp_path, env={"PATH": "/usr/bin", **settings}, input="n\n", text=True, capture_output=True,
            check=False,
        )  # fmt: skip
        assert (asked.returncode, "Nothing was changed." in asked.stdout) == (1, True), asked
        assert "  + price    farebox_pro_month_2900   $29.00 a month" in asked.stdout
        done = farebox(tmp_path, "stripe", "sync", "--yes", **settings)
        assert (done.returncode, "Made 8 changes." in done.stdout) == (0, True), done
        assert "STRIPE_WEBHOOK_SECRET" not in done.stdout
        again = farebox(tmp_path, "stripe", "sync", **settings)
        assert (again.returncode, "Nothing to do" in again.stdout) == (0, True), again
        wrong = farebox(tmp_path, "stripe", "sync", STRIPE_SECRET_KEY="sk_test_wrong", STRIPE_API_BASE=own.url)
        assert (wrong.returncode, "STRIPE_SECRET_KEY" in wrong.stderr, "sk_test_wrong" in wrong.stderr) == (
            1,
            True,
            False,
        )
    none = farebox(tmp_path, "stripe", "sync")
    assert (none.returncode, "STRIPE_SECRET_KEY is not set" in none.stderr) == (1, True)
