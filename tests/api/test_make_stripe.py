"""`make stripe`, the journey in Stripe's test mode: all of it, against the stand-in, and what it says instead of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from stripe import V1Services

from tests.services.served import FOREIGN_SETTINGS
from tests.services.stripe import StripeStandin
from tests.services.stripe_account import NAME, account_of_environment

ROOT: Final = Path(__file__).parents[2]
STEPS: Final = 7


def make_stripe(**settings: str) -> subprocess.CompletedProcess[str]:
    """The command; with this Python, and nothing installed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith((*FOREIGN_SETTINGS, "PYTEST_"))}
    return subprocess.run(
        ["make", "--old-file", ".venv/.installed-dev", "stripe", f"BIN={Path(sys.executable).parent}"],
        cwd=ROOT, env=own | settings, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def for_sale(api: V1Services, plan: str) -> str:
    """A plan as `farebox stripe sync` puts it on sale; its price's id."""
    product = api.products.create({"name": plan, "metadata": {"farebox": f"plan:{plan}"}})
    return api.prices.create(
        {
            "product": product.id, "currency": "usd", "unit_amount": 2900, "recurring": {"interval": "month"},
            "lookup_key": f"farebox_{plan}_month_2900", "metadata": {"farebox": f"plan:{plan}"},
        }
    ).id  # fmt: skip


def test_without_a_key_it_says_that_it_is_skipped() -> None:
    done = make_stripe()
    assert (done.returncode, "Skipped: STRIPE_SECRET_KEY is not set" in done.stdout) == (0, True), done


def test_a_key_for_real_money_is_refused_and_not_shown() -> None:
    key = "sk_live_of_a_founder"
    done = make_stripe(STRIPE_SECRET_KEY=key)
    said = done.stdout + done.stderr
    assert (done.returncode > 0, "Refused: STRIPE_SECRET_KEY" in said, key in said) == (True, True, False), done


@pytest.mark.parametrize("key", ["rk_live_x", "pk_test_x", "sk_x", "whsec_x", "sk_org_live_x"])
def test_so_is_whatever_is_no_key_of_the_test_mode(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", key)
    with pytest.raises(pytest.exit.Exception, match="Refused: STRIPE_SECRET_KEY"):
        account_of_environment()


def test_the_whole_journey_is_gone_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as stripe:
        api = stripe.client().v1
        own = api.products.create({"name": "Somebody else's"})
        theirs = api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000, "name": "Somebody else's"})
        # What a run leaves that is killed.
        api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000, "name": f"{NAME} dead"})
        for_sale(api, f"{NAME}-dead")
        done = make_stripe(STRIPE_SECRET_KEY=stripe.key, STRIPE_API_BASE=stripe.url)
        assert (done.returncode, f"{STEPS} passed" in done.stdout) == (0, True), done.stdout
        assert [one.id for one in api.test_helpers.test_clocks.list().data] == [theirs.id]
        assert api.customers.list().data == []
        assert {one.lookup_key for one in api.prices.list({"active": True}).data} == {"farebox_usage_month"}
        assert own.id in {one.id for one in api.products.list({"active": True}).data}
        assert not [one for one in api.products.list({"active": True}).data if "journey" in one.name]


def test_an_account_that_sells_something_is_left_as_it_is(tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as stripe:
        api = stripe.client().v1
        price = for_sale(api, "pro")
        done = make_stripe(STRIPE_SECRET_KEY=stripe.key, STRIPE_API_BASE=stripe.url)
        said = done.stdout + done.stderr
        assert (done.returncode > 0, "Refused: this account sells farebox_pro_month_2900" in said) == (True, True), done
        assert api.prices.retrieve(price).active
        assert len(api.products.list().data) == 1
