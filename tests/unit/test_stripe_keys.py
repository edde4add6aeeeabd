"""What cannot be a key of Stripe's is seen without asking, and told without being shown."""

import pytest

from farebox.domain.stripe_keys import wrong_key, wrong_webhook_secret

NO_KEYS = {
    "pk_test_of_a_page": "is a publishable key",
    "pk_live_of_a_page": "is a publishable key",
    "whsec_of_an_endpoint": "is a webhook's secret",
    "sk-proj-of-somebody-else": "is not a secret key",
    "sk_of_no_mode": "is not a secret key",
    "sk_test_": "is not a secret key",
    "sk_test_…": "is not a secret key",
    "sk_test_with a blank": "is not a secret key",
    "sk_test_of_the_tests\n": "has a blank or an end of line around it",
    " sk_test_of_the_tests": "has a blank or an end of line around it",
    "": "is not a secret key",
}


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key_is_told_without_it(key: str) -> None:
    sentence = wrong_key(key)
    assert sentence.startswith(f"STRIPE_SECRET_KEY {NO_KEYS[key]}")
    assert len(key) < 9 or key.strip() not in sentence


@pytest.mark.parametrize("kind", ["sk_live_", "sk_test_", "rk_live_", "rk_test_"])
def test_a_secret_key_and_a_restricted_one_of_both_modes_may_be_right(kind: str) -> None:
    assert wrong_key(f"{kind}51Abc_0123xyz") == ""


@pytest.mark.parametrize(
    "secret",
    [
        "x",
        "we_of_an_endpoint",
        "whsec_",
        "whsec_with a blank",
        "WHSEC_x",
        "whsec_a,x",
        "whsec_a whsec_b",
        "whsec_,whsec_b",
    ],
)
def test_what_signs_no_webhooks_is_told(secret: str) -> None:
    assert wrong_webhook_secret(secret).startswith("STRIPE_WEBHOOK_SECRET does not begin with whsec_")


def test_commas_alone_are_no_secrets() -> None:
    assert wrong_webhook_secret(" , ") == "STRIPE_WEBHOOK_SECRET has no secret in it"


@pytest.mark.parametrize(
    "secret", ["", " \n", "whsec_abc", "whsec_a+b/c=\n", "whsec_a,whsec_b", " whsec_a , whsec_b,\n"]
)
def test_none_at_all_is_no_wrong_one(secret: str) -> None:
    assert wrong_webhook_secret(secret) == ""
