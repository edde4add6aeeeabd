"""Providers by name, and how a model is written."""

import pytest

from farebox.domain.errors import FounderError
from farebox.domain.providers import PROVIDERS, ModelName, add_providers, is_here, parse_model


@pytest.mark.parametrize(
    ("text", "provider", "name"),
    [
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai:gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("ollama:llama3.1:8b", "ollama", "llama3.1:8b"),
        ("openai:ft:gpt-4o-mini:acme::x", "openai", "ft:gpt-4o-mini:acme::x"),
        ("together:meta-llama/Llama-3.3-70B", "together", "meta-llama/Llama-3.3-70B"),
        ("openrouter:openai/gpt-4o:free", "openrouter", "openai/gpt-4o:free"),
    ],
)
def test_a_model_is_its_provider_and_its_name(text: str, provider: str, name: str) -> None:
    model = parse_model(text)
    assert model == ModelName(provider, name)
    assert parse_model(str(model)) == model


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("llama3.1:8b", "If that is a model of Ollama's, write 'ollama:llama3.1:8b'."),
        ("OpenAI:gpt-4o", "Write it as 'openai:gpt-4o'."),
        ("nobody:gpt", "Use one of openai, anthropic, gemini, mistral, groq, deepseek, openrouter, together, ollama, "),
        ("", 'write it as "openai:gpt-4o-mini"'),
        (":gpt", 'write it as "openai:gpt-4o-mini"'),
        ("openai:", 'write it as "openai:gpt-4o-mini"'),
        ("openai: gpt-4o", 'write it as "openai:gpt-4o-mini"'),
        ("openai:gpt\n4o", 'write it as "openai:gpt-4o-mini"'),
        (None, 'write it as "openai:gpt-4o-mini"'),
        (7, 'write it as "openai:gpt-4o-mini"'),
    ],
)
def test_what_is_no_model_is_told_with_what_to_write(text: object, told: str) -> None:
    with pytest.raises(FounderError) as error:
        parse_model(text)
    assert str(error.value).startswith(f"model={text!r}: ")
    assert told in str(error.value)


def test_a_fine_tuned_model_is_openais_only_with_its_provider() -> None:
    with pytest.raises(FounderError, match="the provider 'ft' is not known"):
        parse_model("ft:gpt-4o-mini:acme::x")


def test_every_provider_has_an_address_with_its_version_and_variables_of_its_own() -> None:
    variables = [name for each in PROVIDERS.values() for name in (each.key_variable, each.url_variable)]
    assert len(set(variables)) == 2 * len(PROVIDERS)
    for name, provider in PROVIDERS.items():
        assert provider.name == name
        assert "/v1" in provider.base_url
        assert not provider.base_url.endswith("/")
        assert provider.is_local == is_here(provider.base_url) == (not provider.needs_key)


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://localhost:1234/v1", True),
        ("http://[::1]:1234/v1", True),
        ("http://127.0.0.1.example.com/v1", False),
        ("https://user:127.0.0.1@example.com", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine_is_known(url: str, is_ours: bool) -> None:  # noqa: FBT001  # a parameter
    assert is_here(url) is is_ours


def test_an_address_of_the_founders_own_has_no_user_in_it() -> None:
    with pytest.raises(FounderError, match=r"^providers\['mine'\] has a user .* set MINE_API_KEY\.$"):
        add_providers({"mine": "https://me:secret@gpu.example.com/v1"})
