"""What in the founder's file asks models, and what is told of it where they cannot be asked."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from farebox.domain.errors import FounderError
from farebox.domain.product import Product
from farebox.domain.providers import ModelName
from farebox.settings import Settings

log = logging.getLogger("farebox")


class Unanswered(NamedTuple):
    """A part of the file none of whose models can be asked, while others of the file can."""

    who: str
    models: Sequence[ModelName]
    variables: str
    """Those that would have one of them asked, in words."""

    @property
    def wrong(self) -> str:
        return f"{self.who} asks {' or '.join(map(str, self.models))}, and {self.variables} is not set"

    @property
    def remedy(self) -> str:
        return f"set {self.variables}, or name another model there"


def usable(models: Sequence[ModelName], product: Product, settings: Settings) -> tuple[ModelName, ...]:
    """Those of the models whose provider may be asked."""
    return tuple(model for model in models if settings.can_ask(product.provider_of(model)))


def unanswered(product: Product, settings: Settings) -> list[Unanswered]:
    """What the sandbox would answer beside real models; nothing, where it answers all."""
    if not usable(product.asked, product, settings):
        return []
    return [
        Unanswered(who, models, key_variables(product, models))
        for who, models in _askers(product, settings).items()
        if not usable(models, product, settings)
    ]


def check_answered(product: Product, settings: Settings) -> None:
    """Refuse to sell made-up answers beside real ones: nobody would see which they are, and they would be charged.

    Raises:
        FounderError: a part of the file has no model that can be asked, and another one has.
    """
    for part in unanswered(product, settings):
        raise FounderError(
            f"{part.wrong}, so its answers would be made up, beside real ones. To serve, {part.remedy}; "
            "farebox dev tries it as it is."
        )


def left_out(product: Product, settings: Settings) -> list[ModelName]:
    """The models that cannot be asked, and for which another one of their list answers."""
    found: dict[ModelName, None] = {}
    for models in _askers(product, settings).values():
        can_be_asked = usable(models, product, settings)
        if can_be_asked:
            found |= dict.fromkeys(model for model in models if model not in can_be_asked)
    return list(found)


def warn_of_missing(product: Product, settings: Settings) -> None:
    """Log what is missing, where not all is."""
    for name in left_out(product, settings):
        log.warning("%s is left out: %s is not set", name, product.provider_of(name).key_variable)
    for part in unanswered(product, settings):
        log.warning("%s is answered by the sandbox: %s is not set", part.who, part.variables)


def key_variables(product: Product, models: Sequence[ModelName]) -> str:
    """The variables that the models' providers wait for, in words."""
    return " or ".join(dict.fromkeys(product.provider_of(model).key_variable for model in models))


def _askers(product: Product, settings: Settings) -> dict[str, Sequence[ModelName]]:
    """Each part of the file that asks models, as it is called in a sentence."""
    parts: dict[str, Sequence[ModelName]] = {}
    parts["FAREBOX_MODEL" if settings.model is not None else "Farebox(model=…)"] = product.models
    if product.embedding is not None:
        parts["Farebox(embedding_model=…)"] = (product.embedding,)
    return parts | {f"The function {name}": models for name, models in (product.handler_models or {}).items()}
