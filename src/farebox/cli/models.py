"""Which model answers live calls, and what to tell the founder of it."""

import os
from typing import Final

from farebox import wiring
from farebox.adapters.openai_probe import local_chat_model
from farebox.domain.product import Product
from farebox.domain.providers import ModelName
from farebox.settings import Settings
from farebox.wiring.askers import key_variables

MODEL_VARIABLE: Final = "FAREBOX_MODEL"
AT_HOME: Final = {"ollama": "Ollama", "lmstudio": "LM Studio"}


def local_model(product: Product, settings: Settings) -> ModelName | None:
    """A model of an Ollama or LM Studio that runs on this machine, for a founder who has set up no provider."""
    has_key = any(settings.provider_key(provider) for provider in product.known_providers.values())
    if has_key or settings.model is not None or wiring.usable(product.models, product, settings):
        return None
    for name in AT_HOME:
        found = local_chat_model(settings.provider_url(product.known_providers[name]))
        if found is not None:
            return ModelName(name, found)
    return None


def use(model: ModelName) -> None:
    """Have this process serve another model than the file's."""
    os.environ[MODEL_VARIABLE] = str(model)


def model_line(product: Product, settings: Settings, local: ModelName | None) -> str:
    """A line on which model answers a live call of `farebox dev`, and how to change that."""
    if local is not None:
        where = f"{local.name} of the {AT_HOME[local.provider]} that runs here"
        return f"{where}; set {key_variables(product, product.models)} (here, or in .env) for {product.model_name}"
    product = wiring.chosen(product, settings)
    live = wiring.usable(product.models, product, settings)
    if not live:
        sandbox = "farebox-sandbox, which makes its answers up"
        return f"{sandbox}; {_set_but_unused(product, settings) or _set_one(product)}"
    told = [", if it fails ".join(_from(product, settings, model) for model in live)]
    left_out = [model for model in product.models if model not in live]
    if left_out:
        names = " and ".join(model.name for model in left_out)
        told.append(f"set {key_variables(product, left_out)} for {names}")
    elif product.provider_of(live[0]).needs_key and len(live) == 1:
        told.append(f"without {_given(product, settings, live[0])} the sandbox answers")
    return "; ".join(told)


def _from(product: Product, settings: Settings, model: ModelName) -> str:
    return f"{model.name}, from {settings.provider_url(product.provider_of(model))}"


def _given(product: Product, settings: Settings, model: ModelName) -> str:
    provider = product.provider_of(model)
    return provider.key_variable if settings.provider_key(provider) else provider.url_variable


def _set_one(product: Product) -> str:
    return f"set {key_variables(product, product.models)} (here, or in .env) for a real one"


def _set_but_unused(product: Product, settings: Settings) -> str:
    """A hint if a provider's key is set, but the file names another provider's model."""
    for provider in product.known_providers.values():
        if settings.provider_key(provider):
            return f'{provider.key_variable} is set: write model="{provider.name}:…" in your file to use it'
    return ""
