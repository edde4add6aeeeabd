"""What the founder sells: a product, the models behind it, and the plans it comes in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from farebox.domain.apikey import brand_of
from farebox.domain.brand import Brand
from farebox.domain.endpoints import EMBEDDINGS, served_endpoints
from farebox.domain.errors import FounderError
from farebox.domain.money import Usd
from farebox.domain.pack import Pack
from farebox.domain.people import PersonError, address_of
from farebox.domain.plan import Plan
from farebox.domain.prices import Price, price_of_usd
from farebox.domain.providers import ModelName, Provider, add_providers, parse_model

DEMO_PLANS: Final = (Plan("free", calls=20), Plan("pro", usd=29, calls=5_000))
DEMO_NAME: Final = "Farebox demo"
DEMO_MODEL: Final = "openai:gpt-4o-mini"
DEMO_TAGLINE: Final = "Answers from a language model, sold by the call"
TAGLINE_CHARS_MAX: Final = 160
SHOWN_CHARS_MAX: Final = 60
DEFAULT_BRAND: Final = Brand()


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold: a name, the models behind it, its plans, and prices that the founder knows better.

    Args:
        model: "provider:model", or a list of these: where one fails, the next one is asked.
        providers: the addresses of providers of the founder's own, by name.
        embedding_model: the model that answers /v1/embeddings; with None it finds none.
        endpoints: those of the built-in endpoints that are sold; with None all of them.
        handler_models: those that handlers ask instead, by a handler's name; None while they are not known yet.
        tagline: what it does, in a line.
        brand: how its pages look.
        contact: the address that customers can write to.
        packs: the credit that customers can buy.

    Raises:
        FounderError: a value makes no sense.
    """

    name: str = DEMO_NAME
    model: str | Sequence[str] = DEMO_MODEL
    plans: Sequence[Plan] = DEMO_PLANS
    prices: Mapping[str, tuple[Usd, ...]] = field(default_factory=dict)
    providers: Mapping[str, str] = field(default_factory=dict)
    embedding_model: str | None = None
    endpoints: Sequence[str] | None = None
    handler_models: Mapping[str, Sequence[ModelName]] | None = field(default_factory=dict)
    tagline: str = ""
    brand: Brand = DEFAULT_BRAND
    contact: str = ""
    packs: Sequence[Pack] = ()
    by_name: Mapping[str, Plan] = field(init=False, repr=False, default_factory=dict)
    known_providers: Mapping[str, Provider] = field(init=False, repr=False, default_factory=dict)
    models: tuple[ModelName, ...] = field(init=False, repr=False, default=())
    embedding: ModelName | None = field(init=False, repr=False, default=None)
    served_endpoints: tuple[str, ...] = field(init=False, repr=False, default=())
    founder_prices: Mapping[ModelName, Price] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise FounderError('Farebox needs the name of your product, as in Farebox("Tagliner", …).')
        self._check_looks()
        self._set("known_providers", add_providers(self.providers))
        self._set("models", self.parse_models(self.model))
        self._set("embedding", _embedding(self.embedding_model, self.known_providers))
        served = served_endpoints(self.endpoints, has_embedding=self.embedding is not None)
        self._set("served_endpoints", served)
        self._set("by_name", _by_name(self.plans))
        self._set("plans", tuple(self.plans))
        self._set("packs", _packs(self.packs))
        if self.packs and not any(plan.has_overage for plan in self.plans):
            raise FounderError(
                "packs pay for use beyond a plan, but no plan has a price for that, so they could never be used; give "
                "a plan one, as overage_usd=0.01, or sell no packs."
            )
        self._set("founder_prices", self._prices())

    @property
    def provider(self) -> str:
        """The provider of the first model."""
        return self.models[0].provider

    @property
    def model_name(self) -> str:
        """The first model's name, as its provider writes it."""
        return self.models[0].name

    @property
    def key_prefix(self) -> str:
        """What this product's API keys begin with."""
        return brand_of(self.name)

    @property
    def listed(self) -> tuple[ModelName, ...]:
        """Every model that customers can choose, for chat and for embeddings."""
        return (*self.models, self.embedding) if self.embedding and self.embedding not in self.models else self.models

    @property
    def listed_endpoints(self) -> tuple[str, ...]:
        """The built-in endpoints that customers are told of: those that are served, and have a model."""
        return tuple(path for path in self.served_endpoints if path != EMBEDDINGS or self.embedding is not None)

    @property
    def asked(self) -> tuple[ModelName, ...]:
        """Every model the file names, those of handlers too."""
        return tuple(dict.fromkeys((*self.listed, *chain(*(self.handler_models or {}).values()))))

    def parse_models(self, model: object) -> tuple[ModelName, ...]:
        """Read "provider:model", or a list of these.

        Raises:
            FounderError: it is none, or its provider is not known.
        """
        return _models(model, self.known_providers)

    def provider_of(self, model: ModelName) -> Provider:
        return self.known_providers[model.provider]

    def with_model(self, model: str) -> "Product":
        """The same product with another model, also for its handlers; prices of replaced models are dropped.

        Raises:
            FounderError: it is no model, or its provider is not known.
        """
        kept = {parse_model(model, self.known_providers), self.embedding}
        names = {text for name in kept if name is not None for text in (str(name), name.name)}
        prices = {text: usd for text, usd in self.prices.items() if text in names}
        return replace(self, model=model, prices=prices, handler_models={})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_looks(self) -> None:
        tagline = self.tagline
        if not isinstance(tagline, str) or "\n" in tagline or len(tagline) > TAGLINE_CHARS_MAX:
            raise FounderError(f"tagline has to be one line of up to {TAGLINE_CHARS_MAX} characters, not {tagline!r}.")
        if not isinstance(self.brand, Brand):
            raise FounderError(f'brand has to be a Brand, as in brand=Brand(colour="#0f766e"), not {self.brand!r}.')
        self._check_contact()

    def _check_contact(self) -> None:
        try:
            if self.contact != "":
                address_of(self.contact)
        except (PersonError, AttributeError):
            raise FounderError(
                f'contact has to be an e-mail address, as in contact="help@example.com", not {self.contact!r}.'
            ) from None

    def _prices(self) -> dict[ModelName, Price]:
        if not isinstance(self.prices, Mapping):
            raise FounderError('prices has to be a dict, as in prices={"gpt-4o-mini": (0.15, 0.60)}.')
        prices: dict[ModelName, Price] = {}
        for text, usd in self.prices.items():
            price = _price(text, usd)
            found = [model for model in self.asked if text in (str(model), model.name)]
            if not found and self.handler_models is not None:
                names = " and ".join(repr(model.name) for model in self.asked)
                verb = "model is" if len(self.asked) == 1 else "models are"
                raise FounderError(f"prices has {text!r}, and the {verb} {names}; write it the same way.")
            for model in found:
                if model not in prices or text == str(model):  # the longer name says more
                    prices[model] = price
        return prices


def _models(model: object, providers: Mapping[str, Provider]) -> tuple[ModelName, ...]:
    if isinstance(model, list | tuple):
        if not model:
            raise FounderError('model is an empty list; write at least one, as in model=["openai:gpt-4o-mini"].')
        models = tuple(parse_model(text, providers) for text in model)
        for place, name in enumerate(models):
            if name in models[:place]:
                raise FounderError(f"model has {str(name)!r} twice; each model is tried once, in the order written.")
        return models
    return (parse_model(model, providers),)


def _embedding(model: object, providers: Mapping[str, Provider]) -> ModelName | None:
    if model is None:
        return None
    try:
        return parse_model(model, providers)
    except FounderError as error:
        told = str(error).removeprefix("model=").replace("openai:gpt-4o-mini", "openai:text-embedding-3-small")
        raise FounderError(f"embedding_model={told}") from None


def _by_name(plans: object) -> dict[str, Plan]:
    if not plans:
        raise FounderError('A product needs at least one plan, as in plans=[Plan("free", calls=20)].')
    if not isinstance(plans, list | tuple):
        told = f"[{plans!r}]" if isinstance(plans, Plan) else f'[Plan("free", calls=20)], not {_shown(plans)}'
        raise FounderError(f"plans has to be a list, as in plans={told}.")
    for plan in plans:
        if not isinstance(plan, Plan):
            raise FounderError(
                f'plans has to be a list of Plan(…), as in plans=[Plan("free", calls=20)], but {_shown(plan)} is none.'
            )
    by_name = {plan.name: plan for plan in plans}
    if len(by_name) < len(plans):
        raise FounderError("Two plans have the same name; a plan's name is how an account remembers it.")
    return by_name


def _packs(packs: object) -> tuple[Pack, ...]:
    if not isinstance(packs, list | tuple):
        told = f"[{packs!r}]" if isinstance(packs, Pack) else f'[Pack("small", usd=10)], not {_shown(packs)}'
        raise FounderError(f"packs has to be a list, as in packs={told}.")
    for pack in packs:
        if not isinstance(pack, Pack):
            raise FounderError(
                f'packs has to be a list of Pack(…), as in packs=[Pack("small", usd=10)], but {_shown(pack)} is none.'
            )
    if len({pack.name for pack in packs}) < len(packs):
        raise FounderError("Two packs have the same name; a pack's name is how a payment remembers it.")
    return tuple(packs)


def _shown(value: object) -> str:
    """A value that is not what was asked for; of a long one its kind says more."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARS_MAX else f"a {type(value).__name__}"


def _price(model: str, usd: tuple[Usd, ...]) -> Price:
    figures = usd if isinstance(usd, list | tuple) else ()  # else each letter of a text would be taken for a price
    try:
        return price_of_usd(*figures)
    except (TypeError, ValueError) as error:
        # Python's message about a wrong number of arguments names parameters that the founder never wrote.
        why = f": {error}" if isinstance(error, ValueError) else f", as (0.15, 0.6), not {usd!r}"
        raise FounderError(
            f"prices[{model!r}] is (input, output) or (input, output, cached input), and perhaps input written to the "
            f"cache as a fourth, in US dollars for a million tokens{why}."
        ) from None
