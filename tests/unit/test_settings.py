"""The settings: where they are read from, and what they are bound to."""

import errno
import os
import re
from pathlib import Path

import pytest

from farebox.domain.errors import FounderError
from farebox.domain.providers import PROVIDERS, Provider, add_providers
from farebox.settings import Settings, load

OPENAI, ANTHROPIC, OLLAMA = PROVIDERS["openai"], PROVIDERS["anthropic"], PROVIDERS["ollama"]
OF_PROVIDERS = [name for each in PROVIDERS.values() for name in (each.key_variable, each.url_variable)]
VARIABLES = [
    *dict.fromkeys([*(str(field.validation_alias) for field in Settings.model_fields.values()), *OF_PROVIDERS])
]


def key_of(provider: Provider) -> str | None:
    key = load().provider_key(provider)
    return key.get_secret_value() if key is not None else None


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, and an environment that says nothing."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "working directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The folder of the app file."""
    folder = tmp_path / "beside the app"
    folder.mkdir()
    return folder


# -- Where they come from


def test_nothing_has_to_be_set() -> None:
    defaults = load()
    assert defaults.database_url == "sqlite:///farebox.db"
    assert defaults.secret_key is None
    assert not any(defaults.can_ask(provider) for provider in PROVIDERS.values() if not provider.is_local)
    assert (defaults.model, defaults.stream_idle_seconds_max, defaults.upload_bytes_max) == (None, 30, 10 << 20)
    assert (defaults.breaker_failures, defaults.breaker_seconds, defaults.idempotency_seconds) == (10, 10, 86_400)
    assert (defaults.call_seconds_max, defaults.hold_seconds, defaults.sweep_seconds) == (120, 180, 15)
    assert (defaults.body_bytes_max, defaults.upstream_retries_max) == (1 << 20, 0)


def test_a_setting_is_read_beside_the_app_then_here_then_from_the_environment(
    working_directory: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (beside / ".env").write_text(
        "FAREBOX_PUBLIC_URL=https://beside\nFAREBOX_SWEEP_SECONDS=1\nOPENAI_API_KEY=sk-beside\n"
    )
    assert load(beside).public_url == "https://beside"
    (working_directory / ".env").write_text("FAREBOX_PUBLIC_URL=https://here\nFAREBOX_SWEEP_SECONDS=2\n")
    assert load(beside).public_url == "https://here"
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", "https://environment")
    loaded = load(beside)
    assert (loaded.public_url, loaded.sweep_seconds) == ("https://environment", 2)
    assert loaded.openai_api_key is not None
    assert loaded.openai_api_key.get_secret_value() == "sk-beside"
    assert load().openai_api_key is None


def test_a_file_may_have_a_mark_of_windows_and_lines_that_are_not_ours(working_directory: Path) -> None:
    lines = "\ufeffFAREBOX_PUBLIC_URL='https://api.example.com'\r\n# a comment\r\nDEBUG=1\r\n"
    (working_directory / ".env").write_bytes(lines.encode())
    assert load().public_url == "https://api.example.com"


def test_a_file_of_another_encoding_is_a_sentence(working_directory: Path) -> None:
    (working_directory / ".env").write_bytes("FAREBOX_PUBLIC_URL=https://ü".encode("latin-1"))
    with pytest.raises(FounderError, match="not UTF-8"):
        load()


def test_a_file_that_may_not_be_read_is_a_sentence(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / ".env").write_text("FAREBOX_SWEEP_SECONDS=2\n")

    def refuse(*_: object, **__: object) -> str:  # root, as whom tests may run, may read everything
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(FounderError, match=r"\.env cannot be read \(Permission denied\); make it readable\.$"):
        load()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('FAREBOX_SECRET_KEY="0123456789abcdef\n', 1),
        ('A=1\n\n# a comment\n\n  FAREBOX_SECRET_KEY: "0123456789abcdef"\n', 5),
        ("A=1\r\n\r\nFAREBOX_SWEEP_SECONDS 60\r\nB=2\r\n", 3),
    ],
)
def test_a_line_that_cannot_be_read_stops_the_start_and_is_not_left_out(
    working_directory: Path, text: str, line: int, caplog: pytest.LogCaptureFixture
) -> None:
    (working_directory / ".env").write_bytes(text.encode())
    told = f"{working_directory}/.env, line {line} cannot be read; write it as NAME=value, with every quote closed."
    with pytest.raises(FounderError, match=f"^{re.escape(told)}$"):
        load()
    assert caplog.messages == []


def test_a_name_alone_is_as_good_as_none(working_directory: Path) -> None:
    (working_directory / ".env").write_text("FAREBOX_PUBLIC_URL\nexport OTHER\nFAREBOX_SWEEP_SECONDS=2\n")
    assert (load().public_url, load().sweep_seconds) == ("", 2)


def test_an_empty_value_is_as_good_as_none(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / ".env").write_text("".join(f"{name}=\n" for name in VARIABLES))
    assert load() == Settings()
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert load() == Settings()
    (working_directory / ".env").write_text("OPENAI_API_KEY=sk-from-the-file\n")
    assert load().can_ask(OPENAI)


def test_a_provider_is_a_key_or_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in (OPENAI, ANTHROPIC):
        assert not load().can_ask(provider)
        monkeypatch.setenv(provider.url_variable, "http://127.0.0.1:11434/v1")
        assert load().can_ask(provider)
        assert load().provider_url(provider) == "http://127.0.0.1:11434/v1"
        for same in (provider.base_url, f"{provider.base_url}/"):
            monkeypatch.setenv(provider.url_variable, same)
            assert not load().can_ask(provider)
        monkeypatch.setenv(provider.key_variable, "sk-test")
        assert load().can_ask(provider)
        assert key_of(provider) == "sk-test"


def test_a_provider_of_the_founders_own_needs_no_key_and_takes_one() -> None:
    assert load().can_ask(OLLAMA)
    assert load().provider_url(OLLAMA) == OLLAMA.base_url
    found = add_providers({"my-gpu": "https://gpu.example.com/v1", "openai": "https://gate.example.com/v1"})
    assert load().can_ask(found["my-gpu"])
    assert load().provider_url(found["openai"]) == "https://gate.example.com/v1"
    os.environ["MY_GPU_API_KEY"] = "sk-mine"
    try:
        assert key_of(found["my-gpu"]) == "sk-mine"
    finally:
        del os.environ["MY_GPU_API_KEY"]


def test_a_providers_variables_are_read_where_the_other_settings_are(
    working_directory: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> tuple[str, str]:
        key = load(beside).provider_key(ANTHROPIC)
        return key.get_secret_value() if key else "", load(beside).provider_url(OLLAMA)

    (beside / ".env").write_text("\ufeffANTHROPIC_API_KEY='sk-beside'\nOLLAMA_BASE_URL=http://beside/v1\n", "utf-8")
    assert read() == ("sk-beside", "http://beside/v1")
    (working_directory / ".env").write_text("export ANTHROPIC_API_KEY=sk-here # mine\nOLLAMA_BASE_URL=\n")
    assert read() == ("sk-here", "http://beside/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-environment")
    assert read() == ("sk-environment", "http://beside/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    assert read() == ("sk-here", "http://beside/v1")


def test_settings_shown_in_a_log_or_a_traceback_hide_the_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-private")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-very-private")
    monkeypatch.setenv("MISTRAL_BASE_URL", "https://user:private@example.com/v1")
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "a-private-secret-key")
    assert "private" not in f"{load()!r} {load()} {load().__pydantic_private__}"


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().sweep_seconds = 1  # type: ignore[misc]  # mypy knows it too


# -- Bounds


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("FAREBOX_CALL_SECONDS_MAX", "0.001", "3600"),
        ("FAREBOX_HOLD_TTL_SECONDS", "120", "86400"),
        ("FAREBOX_SWEEP_SECONDS", "0.001", "3600"),
        ("FAREBOX_BODY_BYTES_MAX", "1024", str(1 << 30)),
        ("FAREBOX_UPSTREAM_RETRIES_MAX", "0", "10"),
        ("FAREBOX_SECRET_KEY", "s" * 16, "s" * 4096),
        ("FAREBOX_STREAM_IDLE_SECONDS_MAX", "0.001", "3600"),
        ("FAREBOX_UPLOAD_BYTES_MAX", "1024", str(1 << 30)),
        ("FAREBOX_IDEMPOTENCY_SECONDS", "86400", "31536000"),
        ("FAREBOX_BREAKER_FAILURES", "0", "1000000"),
        ("FAREBOX_BREAKER_SECONDS", "0.001", "3600"),
    ],
)
def test_the_bounds_themselves_are_allowed(name: str, least: str, most: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (least, most):
        monkeypatch.setenv(name, value)
        load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAREBOX_CALL_SECONDS_MAX", "0"),
        ("FAREBOX_CALL_SECONDS_MAX", "-1"),
        ("FAREBOX_CALL_SECONDS_MAX", "3600.1"),
        ("FAREBOX_CALL_SECONDS_MAX", "nan"),
        ("FAREBOX_CALL_SECONDS_MAX", "inf"),
        ("FAREBOX_CALL_SECONDS_MAX", "two minutes"),
        ("FAREBOX_HOLD_TTL_SECONDS", "0"),
        ("FAREBOX_HOLD_TTL_SECONDS", "86401"),
        ("FAREBOX_SWEEP_SECONDS", "0"),
        ("FAREBOX_SWEEP_SECONDS", "3601"),
        ("FAREBOX_BODY_BYTES_MAX", "1023"),
        ("FAREBOX_BODY_BYTES_MAX", "2.5"),
        ("FAREBOX_BODY_BYTES_MAX", str((1 << 30) + 1)),
        ("FAREBOX_UPSTREAM_RETRIES_MAX", "-1"),
        ("FAREBOX_UPSTREAM_RETRIES_MAX", "11"),
        ("FAREBOX_SECRET_KEY", "s" * 15),
        ("FAREBOX_STREAM_IDLE_SECONDS_MAX", "0"),
        ("FAREBOX_STREAM_IDLE_SECONDS_MAX", "3601"),
        ("FAREBOX_UPLOAD_BYTES_MAX", "1023"),
        ("FAREBOX_UPLOAD_BYTES_MAX", str((1 << 30) + 1)),
        ("FAREBOX_IDEMPOTENCY_SECONDS", "86399"),
        ("FAREBOX_IDEMPOTENCY_SECONDS", "31536001"),
        ("FAREBOX_BREAKER_FAILURES", "-1"),
        ("FAREBOX_BREAKER_FAILURES", "1000001"),
        ("FAREBOX_BREAKER_SECONDS", "0"),
        ("FAREBOX_BREAKER_SECONDS", "3601"),
    ],
)
def test_a_value_out_of_bounds_is_a_sentence_that_names_the_variable_and_not_the_value_of_a_secret(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(FounderError) as told:
        load()
    assert str(told.value).startswith(f"{name}: ")
    assert str(told.value).endswith(".")
    assert "s" * 15 not in str(told.value)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("FAREBOX_STRIPE_TAX", "maybe", "write on or off"),
        ("FAREBOX_BODY_BYTES_MAX", "1 MB", "write a whole number"),
        ("FAREBOX_BODY_BYTES_MAX", "2048.5", "write a whole number"),
        ("FAREBOX_SWEEP_SECONDS", "15s", "write a number"),
    ],
)
def test_what_is_of_another_kind_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(FounderError, match=rf"^{name}: {what}\.$"):
        load()


@pytest.mark.parametrize("name", ["FAREBOX_PUBLIC_URL", "STRIPE_API_BASE"])
@pytest.mark.parametrize(
    "url", ["api.example.com", "localhost:8000", "ftp://x", "https://", "https://a.b/?c", "https://a b", "https://[x"]
)
def test_links_and_stripes_calls_begin_with_a_web_address(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    told = rf"^{name} is not a web address; write it as https://api\.example\.com\.$"
    with pytest.raises(FounderError, match=told):
        load()
    for good in ("https://api.example.com", "http://127.0.0.1:8000", "https://api.example.com/", "https://[::1]:8443"):
        monkeypatch.setenv(name, good)
        assert good in {load().public_url, f"{load().public_url}/", load().stripe_api_base}


@pytest.mark.parametrize(
    ("written", "browsers_own"),
    [
        ("HTTPS://API.Example.com/", "https://api.example.com"),
        ("https://x.com:443", "https://x.com"),
        ("http://x.com:80/", "http://x.com"),
        ("https://x.com:8443", "https://x.com:8443"),
        ("https://Exämple.com", "https://xn--exmple-cua.com"),
        ("https://straße.de", "https://xn--strae-oqa.de"),
        ("https://[::1]:443", "https://[::1]"),
    ],
)
def test_the_public_address_is_as_browsers_write_it(
    monkeypatch: pytest.MonkeyPatch, written: str, browsers_own: str
) -> None:
    """A passkey is refused, and a form, whose origin is another one by a letter."""
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", written)
    assert load().public_url == browsers_own


def test_the_public_address_has_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", "https://x.com/sub/")
    with pytest.raises(
        FounderError, match=r"^FAREBOX_PUBLIC_URL has a path, .*, and give Farebox a host of its own\.$"
    ):
        load()


def test_a_hold_that_would_die_before_its_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_CALL_SECONDS_MAX", "60")
    monkeypatch.setenv("FAREBOX_HOLD_TTL_SECONDS", "59.9")
    with pytest.raises(FounderError, match=r"^FAREBOX_HOLD_TTL_SECONDS is shorter than FAREBOX_CALL_SECONDS_MAX\.$"):
        load()
    monkeypatch.setenv("FAREBOX_HOLD_TTL_SECONDS", "60")
    assert load().hold_seconds == 60


def test_a_hold_lives_a_minute_longer_than_the_longest_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_CALL_SECONDS_MAX", "30")
    assert load().hold_seconds == 90


# -- Log-ins elsewhere


@pytest.mark.parametrize(
    "names",
    [
        ["GOOGLE_CLIENT_ID"], ["GOOGLE_CLIENT_SECRET"], ["GITHUB_CLIENT_ID"], ["GITHUB_CLIENT_SECRET"], ["OIDC_ISSUER"],
        ["OIDC_ISSUER", "OIDC_CLIENT_ID"], ["OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"],
    ],
)  # fmt: skip
def test_half_a_service_is_told_and_not_left_out(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    for name in names:
        monkeypatch.setenv(name, "https://login.example.com")
    with pytest.raises(FounderError, match="belong together; set all of them, or none"):
        load()


@pytest.mark.parametrize("name", ["GITHUB_BASE_URL", "OIDC_ISSUER"])
@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://login.example.com", True), ("https://login.example.com/realms/x", True),
        ("http://127.0.0.1:9400", True), ("http://localhost:9400", True), ("http://login.example.com", False),
        ("http://127.0.0.1.evil.example", False), ("https://user:secret@login.example.com", False), ("ftp://x", False),
        ("login.example.com", False), ("https://", False), ("https://[x", False), ("https://x.example/?a=b", False),
    ],
)  # fmt: skip
def test_a_service_is_asked_where_nobody_in_between_can_answer(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, *, is_taken: bool
) -> None:
    monkeypatch.setenv("OIDC_CLIENT_ID", "x" if name == "OIDC_ISSUER" else "")
    monkeypatch.setenv("OIDC_CLIENT_SECRET", "y" if name == "OIDC_ISSUER" else "")
    monkeypatch.setenv(name, url)
    if is_taken:
        load()
        return
    with pytest.raises(FounderError, match=f"{name} is not an address that can be trusted") as told:
        load()
    assert "secret" not in str(told.value)
