"""From the founder's file and the settings to the models that are really asked."""

import asyncio
import logging
import re
from contextlib import closing
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest

from farebox import settings as settings_module
from farebox import wiring
from farebox.adapters import price_data
from farebox.adapters.openai_http import OpenAIUpstream
from farebox.adapters.price_data import Sold, look_up
from farebox.domain.errors import FounderError
from farebox.domain.plan import Plan
from farebox.domain.prices import FREE, Price
from farebox.domain.product import Product
from farebox.domain.providers import PROVIDERS
from farebox.sandbox.model import SANDBOX_MODEL
from farebox.settings import TABLES_VARIABLE, Settings
from farebox.store.migrations import HEAD
from tests.services.examined import set_to

pytestmark = pytest.mark.usefixtures("bare")

MODELS = ["openai:gpt-4o-mini", "anthropic:claude-3-5-haiku-latest", "openai:gpt-4o"]
IN_MONEY = (Plan("metered", credit_usd=5),)


def built(product: Product, settings: Settings, *, is_dev: bool = False, bills_sandbox: bool = False) -> wiring.System:
    async def scene() -> wiring.System:
        system = wiring.build(product, settings, Path.cwd(), is_dev=is_dev, bills_sandbox=bills_sandbox)
        await system.start()
        await system.stop()
        return system

    return asyncio.run(scene())


def names(system: wiring.System, mode: Any = "live") -> list[str]:  # noqa: ANN401  # a Mode
    return [f"{model.provider}:{model.name}" for model in system.service.models[mode]]


def test_tills_that_were_opened_at_once_have_pages_wait_for_stripe_at_the_same_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", f"sk_test_{'a' * 24}")
    money = built(Product("Till"), settings_module.load()).money
    assert money is not None
    open_another = unwrap(money.open_till)
    assert open_another().places is open_another().places


def test_newer_tables_are_for_those_alone_whose_parent_began_on_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies between `farebox migrate` and the restart has to be replaced; see docs/decisions/0028."""
    settings = settings_module.load()
    database, _ = wiring.open_store(settings, Path.cwd())
    with closing(database), database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for found in ("", "0001"):
        monkeypatch.setenv(TABLES_VARIABLE, found)
        with pytest.raises(FounderError, match="of a newer Farebox"):
            wiring.open_store(settings, Path.cwd())
    monkeypatch.setenv(TABLES_VARIABLE, HEAD)
    database, _ = wiring.open_store(settings, Path.cwd())
    with closing(database):
        assert database.revision() == "9999"


def test_with_no_provider_one_sandbox_model_answers_everything() -> None:
    system = built(Product(model=MODELS), settings_module.load())
    for mode in ("live", "test"):
        [model] = system.service.models[mode]
        assert (model.name, model.provider, model.price, model.is_billed) == (SANDBOX_MODEL, "sandbox", FREE, False)
    assert system.service.embedding_models == {"live": (), "test": ()}
    assert (system.has_provider, list(system.upstreams)) == (False, [])


def test_where_invoices_are_made_up_too_live_calls_to_the_sandbox_are_billed_as_the_missing_model() -> None:
    product = Product(model=MODELS, embedding_model="text-embedding-3-small", prices={"gpt-4o-mini": (1, 2)})
    system = built(product, settings_module.load(), bills_sandbox=True)
    prices = wiring.prices_of(product, product.listed)
    elsewhere = system.chains.of([product.models[1]])
    for live, name in (
        (system.service.models["live"], product.models[0]),
        (system.service.embedding_models["live"], product.embedding),
        (elsewhere["live"], product.models[1]),
    ):
        assert name is not None
        [model] = live
        assert (model.name, model.price, model.is_billed) == (SANDBOX_MODEL, prices[name], True)
        assert model.price not in {None, FREE}
    for test in (system.service.models["test"], system.service.embedding_models["test"], elsewhere["test"]):
        assert [(model.price, model.is_billed) for model in test] == [(FREE, False)]
    assert not system.has_provider
    strange = built(Product(model="groq:no-such"), settings_module.load(), bills_sandbox=True)
    [unknown] = strange.service.models["live"]
    assert (unknown.price, unknown.is_billed) == (FREE, True)


def test_the_models_whose_provider_has_a_key_are_asked_in_the_order_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    product = Product(model=MODELS, embedding_model="gemini:text-embedding-004")
    with caplog.at_level(logging.WARNING, "farebox"):
        some = built(product, set_to(monkeypatch, OPENAI_API_KEY="sk-of-the-tests"), is_dev=True)
    assert caplog.messages == [
        "anthropic:claude-3-5-haiku-latest is left out: ANTHROPIC_API_KEY is not set",
        "Farebox(embedding_model=…) is answered by the sandbox: GEMINI_API_KEY is not set",
    ]
    assert names(some) == ["openai:gpt-4o-mini", "openai:gpt-4o"]
    assert [model.name for model in some.service.embedding_models["live"]] == [SANDBOX_MODEL]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "farebox"):
        system = built(
            product, set_to(monkeypatch, ANTHROPIC_API_KEY="sk-ant-x", GEMINI_BASE_URL="http://127.0.0.1:9/v1")
        )
    assert caplog.messages == []
    assert names(system) == MODELS
    assert names(system, "test") == [f"sandbox:{SANDBOX_MODEL}"]
    assert [model.name for model in system.service.embedding_models["live"]] == ["text-embedding-004"]
    assert system.has_provider
    assert len(system.upstreams) == 3
    mini, claude, gpt4o = system.service.models["live"]
    assert mini.upstream is gpt4o.upstream is not claude.upstream
    assert mini.breaker is gpt4o.breaker is not claude.breaker
    assert isinstance(mini.upstream, OpenAIUpstream)
    assert all(model.is_billed and model.price is not None for model in system.service.models["live"])


EMBEDDED = "Farebox(embedding_model=…) asks mistral:mistral-embed, and MISTRAL_API_KEY is not set"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"OPENAI_API_KEY": "sk-x", "MISTRAL_API_KEY": "x"}, "The function there asks anthropic:haiku or groq:llama,"),
        ({"OPENAI_API_KEY": "sk-x", "GROQ_API_KEY": "x"}, EMBEDDED),
        ({"OPENAI_API_KEY": "sk-x", "FAREBOX_MODEL": "ollama:llama3.2"}, EMBEDDED),
        ({"GROQ_API_KEY": "x", "MISTRAL_API_KEY": "x"}, "Farebox(model=…) asks openai:gpt-4o-mini,"),
        ({"MISTRAL_API_KEY": "x", "FAREBOX_MODEL": "anthropic:haiku"}, "FAREBOX_MODEL asks anthropic:haiku,"),
        ({}, ""),
        ({"FAREBOX_MODEL": "anthropic:haiku"}, ""),
        ({"OPENAI_API_KEY": "sk-x", "GROQ_API_KEY": "x", "MISTRAL_API_KEY": "x"}, ""),
        ({"MISTRAL_API_KEY": "x", "FAREBOX_MODEL": "ollama:llama3.2"}, ""),
    ],
)
def test_the_sandbox_is_served_for_all_that_asks_or_for_nothing(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], told: str
) -> None:
    product, settings = part_of_it(), set_to(monkeypatch, **values)
    wiring.check(product, settings, is_dev=True)
    if not told:
        wiring.check(product, settings)
        return
    for refuse in (lambda: wiring.check(product, settings), lambda: wiring.build(product, settings, Path.cwd())):
        with pytest.raises(FounderError, match=f"^{re.escape(told)}"):
            refuse()


def test_what_would_be_made_up_beside_real_answers_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FounderError) as refused:
        wiring.check(part_of_it(), set_to(monkeypatch, OPENAI_API_KEY="sk-x", MISTRAL_API_KEY="x"))
    assert str(refused.value) == (
        "The function there asks anthropic:haiku or groq:llama, and ANTHROPIC_API_KEY or GROQ_API_KEY is not set, so "
        "its answers would be made up, beside real ones. To serve, set ANTHROPIC_API_KEY or GROQ_API_KEY, or name "
        "another model there; farebox dev tries it as it is."
    )


def part_of_it() -> Product:
    there = Product().parse_models(["anthropic:haiku", "groq:llama"])
    return Product(embedding_model="mistral:mistral-embed", handler_models={"there": there})


def test_a_model_of_the_settings_takes_the_files_place(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Product(model=MODELS, prices={"gpt-4o": (1, 2)})
    system = built(product, set_to(monkeypatch, FAREBOX_MODEL="ollama:llama3.2", OPENAI_API_KEY="sk-of-the-tests"))
    assert names(system) == ["ollama:llama3.2"]
    [model] = system.service.models["live"]
    assert model.price == FREE
    for wrong in ("nobody:x", "llama3.2:8b", "openai:"):
        settings = set_to(monkeypatch, FAREBOX_MODEL=wrong)
        for refuse in (wiring.check, wiring.chosen):
            with pytest.raises(FounderError, match=f"^FAREBOX_MODEL='{wrong}': "):
                refuse(product, settings)


def test_a_price_is_the_founders_else_the_published_else_none() -> None:
    product = Product(
        model=["gpt-4o-mini", "gemini:gemini-2.0-flash", "ollama:llama3.2", "vllm:mine", "mine:x", "openai:no-such"],
        embedding_model="text-embedding-3-small", providers={"mine": "https://gpu.example.com/v1"},
        prices={"gpt-4o-mini": (1, 2), "vllm:mine": (3, 4)},
    )  # fmt: skip
    prices = {model.name: price for model, price in wiring.prices_of(product, product.listed).items()}
    assert prices["gpt-4o-mini"] == Price(1_000_000_000, 1_000_000_000, 2_000_000_000)
    assert prices["mine"] == Price(3_000_000_000, 3_000_000_000, 4_000_000_000)
    assert prices["llama3.2"] == FREE
    assert prices["x"] is prices["no-such"] is None
    flash, embedding = prices["gemini-2.0-flash"], prices["text-embedding-3-small"]
    assert flash is not None
    assert flash.output_per_mtok > flash.input_per_mtok > 0
    assert embedding is not None
    assert (embedding.input_per_mtok > 0, embedding.output_per_mtok) == (True, 0)


def test_a_price_without_its_output_is_one_of_embeddings_only() -> None:
    name = "text-embedding-3-small"
    assert [price is None for price in look_up([Sold("openai", name), Sold("openai", name, is_embedding=True)])] == [
        True,
        False,
    ]
    assert look_up([]) == []


def test_a_published_price_that_was_computed_is_read_to_the_nanodollar() -> None:
    """One that could not be read left every model of the file without a price."""
    found = price_data._read([(0, ("0.18000000000000002", "0.68", None, None))])
    assert found == Price(180_000_000, 180_000_000, 680_000_000)


def test_a_published_price_has_what_the_cache_and_long_prompts_cost() -> None:
    sol, pro = look_up([Sold("openai", "gpt-5.6-sol"), Sold("google", "gemini-2.5-pro")])
    assert sol is not None
    assert sol.cache_write_per_mtok > sol.input_per_mtok
    assert pro is not None
    for price in (sol, pro):
        [(above, longer)] = price.tiers
        assert above >= 200_000
        assert longer.input_per_mtok > price.input_per_mtok
        assert longer.output_per_mtok > price.output_per_mtok


def test_plans_in_money_need_the_price_of_every_model_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Product(model=["gpt-4o-mini", "groq:no-such"], plans=IN_MONEY)
    settings = set_to(monkeypatch, OPENAI_API_KEY="sk-of-the-tests")
    wiring.check(product, settings)
    settings = set_to(monkeypatch, GROQ_API_KEY="gsk_of-the-tests")
    told = (
        r"Plan\('metered'\) is limited in money, and the price of 'no-such' is not known\. .*\"no-such\": \(input_usd"
    )
    for refuse in (lambda: wiring.check(product, settings), lambda: wiring.build(product, settings, Path.cwd())):
        with pytest.raises(FounderError, match=told):
            refuse()
    wiring.check(Product(model=["gpt-4o-mini", "groq:no-such"]), settings)
    wiring.check(Product(model=list(product.model), plans=IN_MONEY, prices={"no-such": (0, 0)}), settings)


def test_a_wrong_address_or_key_is_told_before_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Product(model="groq:llama")
    with pytest.raises(
        FounderError, match=r"^GROQ_BASE_URL='here' is not a web address; write it as https://api\.groq"
    ):
        wiring.check(product, set_to(monkeypatch, GROQ_BASE_URL="here"))
    with pytest.raises(FounderError, match=r"^GROQ_API_KEY has a character that no key has"):
        wiring.check(product, set_to(monkeypatch, GROQ_BASE_URL="", GROQ_API_KEY="gsk ä"))
    wiring.check(Product(), settings_module.load())  # whose provider is not asked is not looked at


def test_usable_is_what_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    product = Product(model=["gpt-4o", "lmstudio:x", "mine:y"], providers={"mine": "https://gpu.example.com/v1"})
    settings = settings_module.load()
    assert wiring.usable(product.models, product, settings) == product.models[1:]
    monkeypatch.setenv(PROVIDERS["openai"].key_variable, "sk-x")
    assert wiring.usable(product.models, product, settings_module.load()) == product.models
