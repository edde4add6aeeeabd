"""Model providers by name: where each one's OpenAI-compatible API is, and which variables set it up."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from farebox.domain.errors import FounderError

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*", re.ASCII)


class Provider(NamedTuple):
    """A provider, and whether it is asked without a key too.

    Args:
        base_url: as the OpenAI SDK takes it, with the version.
        needs_key: whether nothing is sent there before its key is set.
        is_local: whether it runs on the founder's own machine, so that a token costs nothing.
        sold_by: its name in the published prices, where that differs.
    """

    name: str
    base_url: str
    needs_key: bool = True
    is_local: bool = False
    sold_by: str = ""

    @property
    def key_variable(self) -> str:
        return f"{_variable(self.name)}_API_KEY"

    @property
    def url_variable(self) -> str:
        return f"{_variable(self.name)}_BASE_URL"

    @property
    def price_list(self) -> str:
        return self.sold_by or self.name


class ModelName(NamedTuple):
    """A model as its provider writes it, and the provider."""

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


PROVIDERS: Final[Mapping[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider("openai", "https://api.openai.com/v1"),
        Provider("anthropic", "https://api.anthropic.com/v1"),
        Provider("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", sold_by="google"),
        Provider("mistral", "https://api.mistral.ai/v1"),
        Provider("groq", "https://api.groq.com/openai/v1"),
        Provider("deepseek", "https://api.deepseek.com/v1"),
        Provider("openrouter", "https://openrouter.ai/api/v1"),
        Provider("together", "https://api.together.xyz/v1"),
        Provider("ollama", "http://127.0.0.1:11434/v1", needs_key=False, is_local=True),
        Provider("lmstudio", "http://127.0.0.1:1234/v1", needs_key=False, is_local=True),
        Provider("vllm", "http://127.0.0.1:8000/v1", needs_key=False, is_local=True),
    )
}


def parse_model(text: object, providers: Mapping[str, Provider] = PROVIDERS) -> ModelName:
    """Read "provider:model"; a model alone is OpenAI's.

    Raises:
        FounderError: it is none, or its provider is not known.
    """
    if not isinstance(text, str) or not text.strip():
        raise FounderError(f'model={text!r}: write it as "openai:gpt-4o-mini".')
    before, colon, name = text.partition(":")
    if not colon:
        before, name = "openai", text
    if not before or not name or name != name.strip() or not name.isprintable():
        raise FounderError(f'model={text!r}: write it as "openai:gpt-4o-mini".')
    if before not in providers:
        raise FounderError(
            f"model={text!r}: the provider {before!r} is not known. {_hint(text, before)}"
            f"Use one of {', '.join(providers)}, or add another one by its address, as in "
            'providers={"mine": "https://gpu.example.com/v1"}.'
        )
    return ModelName(before, name)


def is_here(url: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return urlsplit(url).hostname in LOCAL_HOSTS
    except ValueError:  # brackets that are not closed
        return False


def read_address(url: str) -> SplitResult:
    """An address whose host and port can be connected to; the host in letters that the network has.

    Raises:
        ValueError: it has none, or none that can be.
    """
    address = urlsplit(url)
    host, port = (address.hostname or "").encode("idna").decode(), address.port
    if not host or port == 0 or not host.isprintable() or " " in host:
        raise ValueError("no host, or a port that cannot be")
    return address if address.netloc.isascii() else address._replace(netloc=host + ("" if port is None else f":{port}"))


def add_providers(urls: object) -> dict[str, Provider]:
    """The known providers, and the founder's own by name and address.

    Raises:
        FounderError: a name or an address that cannot be one.
    """
    if not isinstance(urls, Mapping):
        raise FounderError('providers has to be a dict, as in providers={"mine": "https://gpu.example.com/v1"}.')
    found = dict(PROVIDERS)
    for name, url in urls.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise FounderError(
                f"providers has {name!r}: a provider's name has to be lower-case letters, digits, '-' and '_', a "
                "letter first, and no more than 40 characters, as in 'mine'."
            )
        if not isinstance(url, str) or not _URL.fullmatch(url):
            raise FounderError(
                f"providers[{name!r}] is {url!r}: write its OpenAI-compatible address, with the version, as in "
                '"https://gpu.example.com/v1".'
            )
        if "@" in url.split("/")[2]:
            raise FounderError(
                f"providers[{name!r}] has a user or a password in it; leave them out, and set "
                f"{Provider(name, url).key_variable}."
            )
        try:
            read_address(url)
        except ValueError:
            raise FounderError(
                f"providers[{name!r}] is {url!r}, which cannot be read as a web address: write its host, and if it has "
                'one its port, a number up to 65535, as in "https://gpu.example.com:8080/v1".'
            ) from None
        # A founder's own server may ask for no key, so none is required.
        known = found.get(name, Provider(name, url))
        found[name] = known._replace(base_url=url.rstrip("/"), needs_key=False)
    return found


def _hint(text: str, before: str) -> str:
    """A hint, if the provider is left off a name that has a colon of its own, or is written in capitals."""
    lowered = before.lower()
    if lowered in PROVIDERS:
        return f"Write it as {lowered + text[len(before) :]!r}. "
    if re.search(r"\d", before) or "/" in before:
        return f"If that is a model of Ollama's, write 'ollama:{text}'. "
    return ""


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
