"""A founder's product: what is meant is taken, and every mistake gets a sentence that says what to do."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from farebox.domain.errors import FounderError
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import DEMO_PLANS, Product
from farebox.domain.providers import PROVIDERS, ModelName

MINI: Final = ModelName("openai", "gpt-4o-mini")
CLAUDE: Final = ModelName("anthropic", "claude-haiku")
EMBEDDING: Final = ModelName("openai", "text-embedding-3-small")


def test_a_product_knows_its_plans_its_model_and_its_brand() -> None:
    free, pro = Plan("free", calls=20), Plan("pro", usd=29, calls=5_000)
    product = Product("Tagliner", "openai:gpt-4o-mini", (free, pro), {"gpt-4o-mini": (0.15, 0.6, 0.075)})
    assert product.by_name == {"free": free, "pro": pro}
    assert (product.provider, product.model_name, product.key_prefix) == ("openai", "gpt-4o-mini", "tagliner")
    assert product.founder_prices == {MINI: Price(150_000_000, 75_000_000, 600_000_000)}
    assert product.models == (MINI,)
    assert product.embedding is None


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openai:gpt-4o-mini"])
def test_a_price_may_name_the_model_as_the_product_does_or_as_the_provider_does(name: str) -> None:
    product = Product(model="openai:gpt-4o-mini", prices={name: (0.15, 0.6)})
    assert product.founder_prices == {MINI: Price(150_000_000, 150_000_000, 600_000_000)}


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-4o-mini", "gpt-4o-mini"), ("openai:gpt-4o-mini", "gpt-4o-mini"), ("openai:llama3:8b", "llama3:8b")],
)
def test_a_model_may_stand_without_its_provider(model: str, name: str) -> None:
    assert (Product(model=model).provider, Product(model=model).model_name) == ("openai", name)


def test_the_demo_product_has_free_with_20_calls_and_pro_with_5000() -> None:
    assert [(plan.name, plan.calls) for plan in DEMO_PLANS] == [("free", 20), ("pro", 5_000)]
    assert Product().plans == DEMO_PLANS


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": ""}, 'as in Farebox\\("Tagliner", …\\)'),
        ({"name": "  "}, 'as in Farebox\\("Tagliner", …\\)'),
        ({"name": None}, 'as in Farebox\\("Tagliner", …\\)'),
        ({"model": ""}, 'write it as "openai:gpt-4o-mini"'),
        ({"model": "openai:"}, 'write it as "openai:gpt-4o-mini"'),
        ({"model": None}, 'write it as "openai:gpt-4o-mini"'),
        ({"model": ["openai:"]}, 'write it as "openai:gpt-4o-mini"'),
        ({"model": ["gpt-4o", None]}, "model=None: write it as"),
        ({"model": {"gpt-4o"}}, 'write it as "openai:gpt-4o-mini"'),
        ({"model": []}, "model is an empty list"),
        ({"model": ["gpt-4o", "openai:gpt-4o"]}, "model has 'openai:gpt-4o' twice"),
        ({"model": "nobody:claude"}, "the provider 'nobody' is not known. Use one of openai, anthropic, gemini, "),
        ({"embedding_model": "nobody:e"}, "^embedding_model='nobody:e': the provider 'nobody' is not known"),
        ({"embedding_model": ""}, 'write it as "openai:text-embedding-3-small"'),
        ({"embedding_model": ["a"]}, 'write it as "openai:text-embedding-3-small"'),
        ({"providers": ["https://x/v1"]}, 'providers has to be a dict, as in providers={"mine"'),
        ({"providers": {"Mine": "https://x/v1"}}, "a provider's name has to be lower-case letters"),
        ({"providers": {"p" * 41: "https://x/v1"}}, "'-' and '_', a letter first, and no more than 40 characters"),
        ({"providers": {"my gpu": "https://x/v1"}}, "a provider's name has to be lower-case letters"),
        ({"providers": {1: "https://x/v1"}}, "a provider's name has to be lower-case letters"),
        ({"providers": {"mine": "gpu.example.com"}}, "write its OpenAI-compatible address"),
        ({"providers": {"mine": "https://x/v1?key=1"}}, "write its OpenAI-compatible address"),
        ({"providers": {"mine": "https:///v1"}}, "write its OpenAI-compatible address"),
        ({"providers": {"mine": None}}, "write its OpenAI-compatible address"),
        ({"providers": {"mine": "http://x:99999/v1"}}, "is 'http://x:99999/v1', which cannot be read as a web address"),
        ({"providers": {"mine": "http://x:port/v1"}}, "which cannot be read as a web address: write its host"),
        ({"providers": {"mine": "http://:80/v1"}}, "which cannot be read as a web address"),
        ({"providers": {"mine": "http://[::1/v1"}}, "which cannot be read as a web address"),
        ({"providers": {"mine": "http://a..b/v1"}}, "which cannot be read as a web address"),
        ({"plans": ()}, "at least one plan"),
        ({"plans": ("free",)}, "'free' is none"),
        ({"plans": Plan("free")}, "plans has to be a list, as in plans=\\[Plan"),
        ({"plans": None}, "at least one plan"),
        ({"plans": {"free": Plan("free")}}, r'as in plans=\[Plan\("free", calls=20\)\], not a dict\.$'),
        ({"plans": "free"}, r'as in plans=\[Plan\("free", calls=20\)\], not \'free\'\.$'),
        ({"plans": [{"name": "free"}]}, r'as in plans=\[Plan\("free", calls=20\)\], but {\'name\': \'free\'} is none'),
        ({"packs": None}, r'as in packs=\[Pack\("small", usd=10\)\], not None\.$'),
        ({"packs": [None]}, r'as in packs=\[Pack\("small", usd=10\)\], but None is none'),
        ({"packs": Pack("small", usd=10)}, r"as in packs=\[Pack\(name='small'"),
        ({"plans": (Plan("free"), Plan("free", calls=1))}, "Two plans have the same name"),
        (
            {"plans": (Plan("free", calls=20), Plan("pro", credit_usd=5)), "packs": (Pack("small", usd=10),)},
            "but no plan has a price for that, so they could never be used; give a plan one, as overage_usd=0.01",
        ),
        (
            {"prices": {"gpt": "12"}},
            "in US dollars for a million tokens, as \\(0.15, 0.6\\), not '12'",
        ),
        ({"prices": {"gpt": 0.15}}, "prices\\['gpt'\\] is \\(input, output\\)"),
        ({"prices": {"gpt": (0.15,)}}, "prices\\['gpt'\\] is \\(input, output\\)"),
        ({"prices": {"gpt": (1, 2, 3, 4, 5)}}, "prices\\['gpt'\\] is \\(input, output\\)"),
        ({"prices": {"gpt": (-1, 2)}}, "-1 is not an amount of money"),
        ({"prices": {"gpt": ("cheap", 2)}}, "'cheap' is not an amount of money"),
        ({"prices": {"gpt-4o": (1, 2)}}, "prices has 'gpt-4o', and the model is 'gpt-4o-mini'"),
        (
            {"model": ["gpt-4o", "groq:llama"], "prices": {"gpt": (1, 2)}},
            "prices has 'gpt', and the models are 'gpt-4o' and 'llama'",
        ),
        ({"prices": {"groq:gpt-4o-mini": (1, 2)}}, "prices has 'groq:gpt-4o-mini', and the model is 'gpt-4o-mini'"),
        ({"prices": [("gpt", 1, 2)]}, 'prices has to be a dict, as in prices={"gpt-4o-mini"'),
    ],
)
def test_every_mistake_in_a_product_has_a_sentence(arguments: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(FounderError, match=sentence) as told:
        Product(**arguments)
    assert str(told.value).endswith(".")


def test_several_models_are_tried_in_the_order_written() -> None:
    product = Product(model=["anthropic:claude-haiku", "gpt-4o-mini"], embedding_model="text-embedding-3-small")
    assert product.models == (CLAUDE, MINI)
    assert (product.provider, product.model_name) == CLAUDE
    assert product.embedding == EMBEDDING
    assert product.listed == (CLAUDE, MINI, EMBEDDING)
    assert Product(model="gpt-4o-mini", embedding_model="gpt-4o-mini").listed == (MINI,)


def test_prices_are_by_model_whatever_provider_has_it_and_the_longer_name_says_more() -> None:
    both = Product(model=["openai:llama", "groq:llama"], prices={"llama": (1, 2), "groq:llama": (3, 4)})
    assert {model.provider: price.input_per_mtok for model, price in both.founder_prices.items()} == {
        "openai": 1_000_000_000, "groq": 3_000_000_000
    }  # fmt: skip
    turned = Product(model=["openai:llama", "groq:llama"], prices={"groq:llama": (3, 4), "llama": (1, 2)})
    assert turned.founder_prices == both.founder_prices
    priced = Product(embedding_model="text-embedding-3-small", prices={"text-embedding-3-small": (1, 0)})
    assert list(priced.founder_prices) == [EMBEDDING]


def test_a_provider_is_added_by_its_address_and_a_known_one_may_be_moved() -> None:
    product = Product(
        model=["my-gpu:llama3:8b", "openai:gpt-4o"],
        providers={"my-gpu": "https://gpu.example.com/v1/", "openai": "https://gate.example.com/v1"},
    )
    assert product.models[0] == ("my-gpu", "llama3:8b")
    mine, moved = (product.provider_of(model) for model in product.models)
    assert (mine.base_url, mine.needs_key, mine.key_variable, mine.url_variable) == (
        "https://gpu.example.com/v1", False, "MY_GPU_API_KEY", "MY_GPU_BASE_URL"
    )  # fmt: skip
    assert (moved.base_url, moved.needs_key) == ("https://gate.example.com/v1", False)
    assert PROVIDERS["openai"].needs_key


def test_another_model_takes_the_files_place_with_the_prices_that_are_still_meant() -> None:
    product = Product(
        model=["gpt-4o-mini", "anthropic:claude-haiku"], embedding_model="text-embedding-3-small",
        prices={"gpt-4o-mini": (1, 2), "openai:text-embedding-3-small": (3, 0), "claude-haiku": (5, 6)},
    )  # fmt: skip
    other = product.with_model("ollama:llama3.2")
    assert other.listed == (("ollama", "llama3.2"), EMBEDDING)
    assert list(other.founder_prices) == [EMBEDDING]
    assert list(product.with_model("openai:gpt-4o-mini").founder_prices) == [MINI, EMBEDDING]
    assert other.by_name == product.by_name
    with pytest.raises(FounderError, match="the provider 'nobody' is not known"):
        product.with_model("nobody:x")


@pytest.mark.parametrize("name", ["1", "p" * 41])
def test_a_packs_name_has_the_form_of_a_plans(name: str) -> None:
    with pytest.raises(FounderError, match="'-' and '_', a letter first, and no more than 40 characters"):
        Pack(name, usd=10)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"usd": 10, "credit_usd": 0}, "credit_usd has to be more than 0; leave it out for what usd is."),
        ({"usd": 0}, "a pack has to cost whole cents, and more than 0, as in usd=10."),
        ({"usd": 10, "credit_usd": "12$"}, "credit_usd='12$' is not an amount of money."),
        ({"usd": None}, "usd=None is not an amount of money."),
    ],
)
def test_a_packs_money_is_told_by_its_argument(arguments: Mapping[str, Any], told: str) -> None:
    with pytest.raises(FounderError) as error:
        Pack("small", **arguments)
    assert str(error.value) == f"Pack('small'): {told}"
