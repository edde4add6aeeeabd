"""What may be sent is what Stripe's own library has a parameter for, at every depth."""

import re
from typing import Any

import httpx2
import pytest

from farebox.sandbox.stripe.answers import ROUTES
from farebox.sandbox.stripe.form import parsed
from farebox.sandbox.stripe.params import checked, hints
from tests.services.stripe import StripeStandin

CHECKED = [route for route in ROUTES if route.params is not None]


def ask(standin: StripeStandin, method: str, path: str, form: str = "", **headers: str) -> httpx2.Response:
    return standin.http.request(
        method,
        f"{path}{'?' + form if method == 'GET' else ''}",
        content=form if method != "GET" else None,
        headers={
            "authorization": f"Bearer {standin.key}",
            "content-type": "application/x-www-form-urlencoded",
            "stripe-version": "2026-10-28.endive",
            **headers,
        },
    )


@pytest.mark.parametrize("route", CHECKED, ids=[f"{route.method} {route.params}" for route in CHECKED])
def test_an_unknown_parameter_is_refused_everywhere(standin: StripeStandin, route: Any) -> None:
    path = re.sub(r"\(\[\^/\]\+\)", "x_1", route.path.pattern).removesuffix("/?")
    answer = ask(standin, route.method, path, "nonsense=1")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "parameter_unknown", "nonsense")


@pytest.mark.parametrize("route", CHECKED, ids=[f"{route.method} {route.params}" for route in CHECKED])
def test_what_has_to_be_there_is_asked_for(standin: StripeStandin, route: Any) -> None:
    needed = [name for name, hint in hints(str(route.params)).items() if isinstance(hint, tuple)]
    if needed:
        path = re.sub(r"\(\[\^/\]\+\)", "x_1", route.path.pattern).removesuffix("/?")
        error = ask(standin, route.method, path).json()["error"]
        assert (error["code"], error["param"]) == ("parameter_missing", needed[0])


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("currency=usd&recurring[nonsense]=1", "parameter_unknown", "recurring[nonsense]"),
        ("currency=usd&tiers[0][up_to]=inf&tiers[1][nonsense]=2", "parameter_unknown", "tiers[1][nonsense]"),
        ("currency=usd&recurring[interval_count]=2", "parameter_missing", "recurring[interval]"),
        ("currency=usd&unit_amount=ten", "parameter_invalid_integer", "unit_amount"),
        ("currency=usd&recurring[interval]=fortnight", None, "recurring[interval]"),
        ("currency=usd&product=prod_none&unit_amount=1", "resource_missing", "product"),
        ("currency=usd&product_data[name]=a&unit_amount_decimal=0.0000000000001", "parameter_invalid_decimal", None),
    ],
)
def test_a_price_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    standin: StripeStandin, form: str, code: str | None, param: str | None
) -> None:
    answer = ask(standin, "POST", "/v1/prices", form)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error.get("code") == code
    assert param is None or error["param"] == param


def test_the_librarys_own_options_are_no_parameters() -> None:
    assert "idempotency_key" not in hints("CustomerCreateParams")
    assert "email" in hints("CustomerCreateParams")


def test_values_are_read_as_what_they_are() -> None:
    form = "customer=cus_1&items[0][price]=p&items[0][quantity]=3&cancel_at_period_end=true&metadata[a]=1&trial_end=now"
    assert checked("SubscriptionCreateParams", parsed(form)) == {
        "customer": "cus_1",
        "items": [{"price": "p", "quantity": 3}],
        "cancel_at_period_end": True,
        "metadata": {"a": "1"},
        "trial_end": "now",
    }


def test_lists_may_be_written_with_and_without_places() -> None:
    assert parsed("a[]=1&a[]=2&b[1]=y&b[0]=x&c[d][e]=f&g=") == {
        "a": ["1", "2"], "b": ["x", "y"], "c": {"d": {"e": "f"}}, "g": ""
    }  # fmt: skip


def test_whoever_speaks_an_older_version_may_use_its_names(standin: StripeStandin) -> None:
    form = "amount=100&currency=usd&payment_method_types[]=card"
    assert ask(standin, "POST", "/v1/payment_intents", form).status_code == 400
    assert ask(standin, "POST", "/v1/payment_intents", form, **{"stripe-version": "2024-01-01"}).status_code == 200
