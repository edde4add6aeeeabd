"""Every knob: its type, unit, default and bound. `docs/settings.md` lists them, and a test holds it to this file."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

from dotenv.parser import parse_stream
from pydantic import AnyHttpUrl, Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from farebox.domain.errors import FounderError
from farebox.domain.providers import PROVIDERS, Provider

GITHUB_URL: Final = "https://github.com"
OPENAI_BASE_URL: Final = PROVIDERS["openai"].base_url
HOLD_MARGIN_SECONDS: Final = 60.0
SECRET_BYTES: Final = 32
LISTENING_VARIABLE: Final = "FAREBOX_LISTENING_AT"  # told by `dev` and `serve` to the process that serves
TABLES_VARIABLE: Final = "FAREBOX_TABLES_FOUND"  # told by `serve` to its workers: the revision that it began on
REMEDIES: Final = {  # by pydantic's name for what is wrong
    "bool_parsing": "write on or off",
    "int_parsing": "write a whole number",
    "float_parsing": "write a number",
}
LINE_REMEDY: Final = "write it as NAME=value, with every quote closed"
ENCODING: Final = "utf-8-sig"  # Windows' editors put a mark before the text, which 'utf-8' takes for a part of a name

Network = IPv4Network | IPv6Network


class Settings(BaseSettings):
    """From the environment, and from `.env` beside the app file or in the working directory."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    database_url: str = Field("sqlite:///farebox.db", validation_alias="FAREBOX_DATABASE_URL")
    """Where accounts, keys and the ledger live: `sqlite:///file.db` or `postgresql://user:password@host/name`."""

    secret_key: SecretStr | None = Field(None, validation_alias="FAREBOX_SECRET_KEY", min_length=16)
    """What API keys are digested under, 16 characters or more. Without it, one is made and kept in `farebox.secret`."""

    public_url: str = Field("", validation_alias="FAREBOX_PUBLIC_URL")
    """The address that customers use, as `https://api.example.com`; goes into links and error types."""

    smtp_url: SecretStr | None = Field(None, validation_alias="SMTP_URL")
    """The mail server, as `smtp://user:password@host:587`. Without one, mails are printed and sent to nobody."""

    mail_from: str = Field("", validation_alias="FAREBOX_MAIL_FROM")
    """Whom mails come from, as `Example <hello@example.com>`. By default no-reply at the public address's host."""

    trusted_proxies: str = Field("", validation_alias="FAREBOX_TRUSTED_PROXIES")
    """Whose X-Forwarded-For is believed: addresses and networks with a comma between, as `10.0.0.0/8, 127.0.0.1`."""

    stripe_secret_key: SecretStr | None = Field(None, validation_alias="STRIPE_SECRET_KEY")
    """Stripe's key, `sk_live_…` or `sk_test_…`. Without one nothing can be bought, but in `farebox dev`."""

    stripe_webhook_secret: SecretStr | None = Field(None, validation_alias="STRIPE_WEBHOOK_SECRET")
    """What Stripe signs its webhooks to `/stripe/webhook` with, `whsec_…`; of several, with commas between."""

    stripe_api_base: str = Field("", validation_alias="STRIPE_API_BASE")
    """Another address to ask instead of Stripe's, as that of a stand-in."""

    stripe_tax: bool = Field(False, validation_alias="FAREBOX_STRIPE_TAX")  # noqa: FBT003  # pydantic's own way
    """Whether Stripe Tax reckons taxes on what is bought from then on. Without it, no tax is added."""

    grace_seconds: int = Field(604_800, validation_alias="FAREBOX_GRACE_SECONDS", ge=0, le=7_776_000)
    """How long a plan goes on after a payment failed, in seconds; then the free plan is in force."""

    google_client_id: str = Field("", validation_alias="GOOGLE_CLIENT_ID")
    """The product's client ID at Google. With its secret, people can log in with Google."""

    google_client_secret: SecretStr | None = Field(None, validation_alias="GOOGLE_CLIENT_SECRET")
    """The secret that goes with it."""

    github_client_id: str = Field("", validation_alias="GITHUB_CLIENT_ID")
    """The product's client ID at GitHub. With its secret, people can log in with GitHub."""

    github_client_secret: SecretStr | None = Field(None, validation_alias="GITHUB_CLIENT_SECRET")
    """The secret that goes with it."""

    github_base_url: str = Field(GITHUB_URL, validation_alias="GITHUB_BASE_URL")
    """Another GitHub to log in with: the address of a GitHub Enterprise."""

    oidc_issuer: str = Field("", validation_alias="OIDC_ISSUER")
    """Any other OpenID Connect issuer to log in with, by its address."""

    oidc_client_id: str = Field("", validation_alias="OIDC_CLIENT_ID")
    """The product's client ID there."""

    oidc_client_secret: SecretStr | None = Field(None, validation_alias="OIDC_CLIENT_SECRET")
    """The secret that goes with it."""

    oidc_name: str = Field("single sign-on", validation_alias="OIDC_NAME")
    """What that issuer is called on the button: `Continue with …`."""

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    """OpenAI's key. Any other provider's is NAME_API_KEY; without one, calls go to the sandbox model."""

    openai_base_url: str = Field(OPENAI_BASE_URL, validation_alias="OPENAI_BASE_URL")
    """OpenAI's address, or a compatible one's, with its version. Any other provider's is NAME_BASE_URL."""

    model: str | None = Field(None, validation_alias="FAREBOX_MODEL")
    """A model instead of the file's, as `ollama:llama3.2`."""

    call_seconds_max: float = Field(120.0, validation_alias="FAREBOX_CALL_SECONDS_MAX", gt=0, le=3600)
    """The one deadline of a call, in seconds."""

    stream_idle_seconds_max: float = Field(30.0, validation_alias="FAREBOX_STREAM_IDLE_SECONDS_MAX", gt=0, le=3600)
    """The longest silence inside a streamed answer, in seconds."""

    hold_ttl_seconds: float | None = Field(None, validation_alias="FAREBOX_HOLD_TTL_SECONDS", gt=0, le=86_400)
    """How long a hold lives when its process dies. By default the longest call and 60 s more."""

    sweep_seconds: float = Field(15.0, validation_alias="FAREBOX_SWEEP_SECONDS", gt=0, le=3600)
    """How often dead holds are looked for."""

    body_bytes_max: int = Field(1_048_576, validation_alias="FAREBOX_BODY_BYTES_MAX", ge=1024, le=1 << 30)
    """The largest request body."""

    upload_bytes_max: int = Field(10_485_760, validation_alias="FAREBOX_UPLOAD_BYTES_MAX", ge=1024, le=1 << 30)
    """The largest request body of an endpoint that takes files."""

    idempotency_seconds: int = Field(86_400, validation_alias="FAREBOX_IDEMPOTENCY_SECONDS", ge=86_400, le=31_536_000)
    """How long an answer is kept for its Idempotency-Key, in seconds."""

    upstream_retries_max: int = Field(0, validation_alias="FAREBOX_UPSTREAM_RETRIES_MAX", ge=0, le=10)
    """How often a call that the provider failed is sent again before the customer is told."""

    breaker_failures: int = Field(10, validation_alias="FAREBOX_BREAKER_FAILURES", ge=0, le=1_000_000)
    """How many failures of a provider, without a success between them, have it left alone; 0 never does."""

    breaker_seconds: float = Field(10.0, validation_alias="FAREBOX_BREAKER_SECONDS", gt=0, le=3600)
    """How long a failing provider is left alone before one call tries it, in seconds."""

    # The keys and addresses of providers, by variable: which providers there are, the founder's file says.
    _variables: Mapping[str, SecretStr] = PrivateAttr(default_factory=dict)

    @field_validator("public_url")
    @classmethod
    def _public_url_is_as_browsers_write_it(cls, url: str) -> str:
        """What they say of a form or a passkey is compared with it: small letters, no port of the scheme's, xn--."""
        return str(AnyHttpUrl(url)).rstrip("/") if _is_web_address(url) else url

    @model_validator(mode="after")
    def _hold_outlives_call(self) -> Self:
        if self.hold_ttl_seconds is not None and self.hold_ttl_seconds < self.call_seconds_max:
            raise ValueError("FAREBOX_HOLD_TTL_SECONDS is shorter than FAREBOX_CALL_SECONDS_MAX")
        return self

    @model_validator(mode="after")
    def _proxies_are_networks(self) -> Self:
        try:
            self.proxies()
        except ValueError:
            raise ValueError(
                "FAREBOX_TRUSTED_PROXIES has something that is neither an address nor a network; write "
                "10.0.0.0/8, 127.0.0.1"
            ) from None
        return self

    @model_validator(mode="after")
    def _addresses_are_of_the_web(self) -> Self:
        for name, url in (("FAREBOX_PUBLIC_URL", self.public_url), ("STRIPE_API_BASE", self.stripe_api_base)):
            if url and not _is_web_address(url):
                raise ValueError(f"{name} is not a web address; write it as https://api.example.com")
        if urlsplit(self.public_url).path:
            raise ValueError(
                "FAREBOX_PUBLIC_URL has a path, but pages are at the root of their host; write it as "
                "https://api.example.com, and give Farebox a host of its own"
            )
        return self

    @model_validator(mode="after")
    def _log_ins_are_whole(self) -> Self:
        needed: dict[str, tuple[object, ...]] = {
            "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET": (self.google_client_id, self.google_client_secret),
            "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET": (self.github_client_id, self.github_client_secret),
            "OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET": (
                self.oidc_issuer, self.oidc_client_id, self.oidc_client_secret,
            ),
        }  # fmt: skip
        for names, values in needed.items():
            if any(values) and not all(values):
                raise ValueError(f"{names} belong together; set all of them, or none")
        for name, url in (("GITHUB_BASE_URL", self.github_base_url), ("OIDC_ISSUER", self.oidc_issuer)):
            if url and not _is_safe(url):
                raise ValueError(f"{name} is not an address that can be trusted; write https://login.example.com")
        return self

    def proxies(self) -> tuple[Network, ...]:
        """The networks whose word about the client's address is taken."""
        return tuple(ip_network(part.strip()) for part in self.trusted_proxies.split(",") if part.strip())

    @property
    def own_url(self) -> str:
        """Where links in mails lead: the public address, else the one that this machine listens on."""
        return self.public_url.rstrip("/") or os.environ.get(LISTENING_VARIABLE, "http://127.0.0.1:8000")

    @property
    def tables_found(self) -> str:
        """The revision of the tables that the parent of this process began on; empty where it has none."""
        return os.environ.get(TABLES_VARIABLE, "")

    @property
    def sells_live(self) -> bool:
        """Whether Stripe's key is for real money."""
        key = self.stripe_secret_key
        return key is not None and key.get_secret_value().startswith(("sk_live_", "rk_live_"))

    def provider_key(self, provider: Provider) -> SecretStr | None:
        """The provider's key, where it is set."""
        return self.openai_api_key if provider.name == "openai" else self._variables.get(provider.key_variable)

    def provider_url(self, provider: Provider) -> str:
        """Its address: as it is set, else as the founder's file or our table has it."""
        if provider.name == "openai":
            return provider.base_url if self.openai_base_url == OPENAI_BASE_URL else self.openai_base_url
        told = self._variables.get(provider.url_variable)
        return told.get_secret_value() if told is not None else provider.base_url

    def can_ask(self, provider: Provider) -> bool:
        """Whether calls may go there: its key is set, or it needs none, as one at an address of the founder's."""
        is_elsewhere = self.provider_url(provider).rstrip("/") != provider.base_url
        return self.provider_key(provider) is not None or not provider.needs_key or is_elsewhere

    @property
    def hold_seconds(self) -> float:
        return self.hold_ttl_seconds or self.call_seconds_max + HOLD_MARGIN_SECONDS


def load(beside: Path | None = None) -> Settings:
    """Read the settings; `beside` is the folder of the app file.

    Raises:
        FounderError: a setting has a value that it cannot have, or a line of a file cannot be read.
    """
    # Later files win, and the environment wins over both.
    files = [str(folder / ".env") for folder in (beside, Path.cwd()) if folder is not None]
    try:
        _check_lines(files)
        settings = Settings(_env_file=files, _env_file_encoding=ENCODING)
        settings._variables = _provider_variables(files)  # noqa: SLF001  # a part of the above, read here
    except UnicodeDecodeError:
        raise FounderError("The file .env is not UTF-8 text; save it again as UTF-8.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        what = REMEDIES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        if first["type"] == "too_short":  # pydantic counts the items of a secret
            what = "write at least {min_length} characters, not {actual_length}".format(**first["ctx"])
        raise FounderError(f"{name}: {what}.".lstrip(": ")) from None
    return settings


def lines_not_read(path: Path) -> list[int]:
    """The lines of a `.env` file that python-dotenv would leave out, with a warning that names no file."""
    bindings = parse_stream(StringIO(path.read_text(encoding=ENCODING)))
    told = [binding.original for binding in bindings if binding.error]
    # What it could not read begins with the empty lines before it.
    return [line + text[: len(text) - len(text.lstrip())].count("\n") for text, line in told]


def _check_lines(files: Sequence[str]) -> None:
    for path in map(Path, files):
        try:
            lines = lines_not_read(path) if path.is_file() else []
        except OSError as error:
            raise FounderError(f"{path} cannot be read ({error.strerror}); make it readable.") from None
        if lines:
            raise FounderError(f"{path}, line {lines[0]} cannot be read; {LINE_REMEDY}.")


def _is_safe(url: str) -> bool:
    """Whether nobody in between can answer in its place."""
    if not _is_web_address(url):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def _is_web_address(url: str) -> bool:
    """Whether it is the beginning of links: a host, and nothing behind its path."""
    try:
        AnyHttpUrl(url)  # a host that no browser takes is an error
        parts = urlsplit(url)
        is_plain = not (parts.username or parts.password or parts.query or parts.fragment) and parts.port != 0
    except ValueError:
        return False
    return bool(parts.hostname) and is_plain and " " not in url and parts.scheme in {"http", "https"}


def _provider_variables(files: Sequence[str]) -> dict[str, SecretStr]:
    """Whatever may be a provider's key or address, read as the other settings are."""
    in_files = DotEnvSettingsSource(Settings, files, ENCODING).env_vars
    read = {name.upper(): value for name, value in {**in_files, **EnvSettingsSource(Settings).env_vars}.items()}
    return {
        name: SecretStr(value) for name, value in read.items() if value and name.endswith(("_API_KEY", "_BASE_URL"))
    }


def secret_of(settings: Settings, folder: Path) -> bytes:
    """The server's secret: from the settings, or from a file in `folder`, made on the first start."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = folder / "farebox.secret"
    if not path.exists():
        _make_secret(path)
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise FounderError(f"{path} cannot be read ({error.strerror}); set FAREBOX_SECRET_KEY instead.") from None
    except UnicodeDecodeError:
        text = ""  # saved anew by an editor, as UTF-16: not what was made
    if len(text) < 2 * SECRET_BYTES:
        raise FounderError(f"{path} is incomplete; restore it, or set FAREBOX_SECRET_KEY to the secret it held.")
    return text.encode()


def _make_secret(path: Path) -> None:
    # Written aside and linked, so that it is never there without being whole; of two processes the first one wins.
    aside = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, os.urandom(SECRET_BYTES).hex().encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):
            os.link(aside, path)
    except OSError as error:
        raise FounderError(f"{path} cannot be written ({error.strerror}); set FAREBOX_SECRET_KEY instead.") from None
    finally:
        aside.unlink(missing_ok=True)
