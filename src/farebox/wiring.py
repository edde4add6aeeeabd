"""Settings → the running system. The only file that names concrete adapters."""

import asyncio
import hashlib
import hmac
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farebox.adapters.openai_http import OpenAIUpstream
from farebox.adapters.price_data import look_up
from farebox.call import Service
from farebox.call.service import Model
from farebox.call.settle import settle
from farebox.domain.errors import FounderError
from farebox.domain.plan import Product
from farebox.domain.prices import FREE, Price
from farebox.sandbox.model import SANDBOX_MODEL, SandboxModel
from farebox.settings import Settings, secret_of
from farebox.store.database import Database
from farebox.store.ledger import GroupCommitLedger
from farebox.store.migrations import HEAD
from farebox.store.notes import note_once

log = logging.getLogger("farebox")

FINGERPRINT: Final = "secret_fingerprint"


@dataclass(slots=True)
class System:
    """One process of the service. `start` it inside the event loop, `stop` it there too."""

    settings: Settings
    database: Database
    ledger: GroupCommitLedger
    service: Service
    upstream: OpenAIUpstream | None
    _sweeper: "asyncio.Task[None] | None" = field(init=False, default=None)

    async def start(self) -> None:
        self.ledger.start()
        self._sweeper = asyncio.create_task(settle(self.ledger, self.settings.sweep_seconds))

    async def stop(self) -> None:
        """Finish what waits for the ledger, then close everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.ledger.close()
        if self.upstream is not None:
            await self.upstream.close()
        self.database.close()


def build(product: Product, settings: Settings, folder: Path) -> System:
    """The system of one process.

    Raises:
        FounderError: something is set up wrongly; the message says what to do.
    """
    database, secret = open_store(settings, folder)
    ledger = GroupCommitLedger(database, product.by_name)
    upstream = _upstream(settings)
    sandbox = Model(SANDBOX_MODEL, FREE, SandboxModel(), is_billed=False)
    live = _live_model(product, upstream) if upstream is not None else sandbox
    service = Service(
        ledger=ledger,
        models={"live": live, "test": sandbox},
        secret=secret,
        call_seconds_max=settings.call_seconds_max,
        hold_ttl_seconds=settings.hold_seconds,
        upstream_retries_max=settings.upstream_retries_max,
    )
    return System(settings, database, ledger, service, upstream)


def check(product: Product, settings: Settings) -> None:
    """Find what a process would refuse to start with, before one is started.

    Raises:
        FounderError: as `build`.
    """
    upstream = _upstream(settings)
    if upstream is not None and any(plan.is_metered_in_money for plan in product.plans):
        _live_model(product, upstream)


def open_store(settings: Settings, folder: Path) -> tuple[Database, bytes]:
    """The database, ready to use, and the secret that its keys were made with.

    Raises:
        FounderError: it is not migrated, or belongs to another secret.
        LedgerUnavailable: it cannot be reached.
    """
    database = Database(settings.database_url)
    if database.is_sqlite:
        database.migrate()
    elif database.revision() != HEAD:
        raise FounderError("The database's tables are not the ones this version needs. Run: farebox migrate")
    secret = secret_of(settings, folder)
    _check_secret(database, secret)
    return database, secret


def fingerprint(secret: bytes) -> str:
    """What tells two secrets apart, and tells nothing about either."""
    return hmac.new(secret, b"farebox fingerprint", hashlib.sha256).hexdigest()[:16]


def _check_secret(database: Database, secret: bytes) -> None:
    mine = fingerprint(secret)
    if note_once(database, FINGERPRINT, mine) != mine:
        raise FounderError(
            "This database was set up with another secret, and with this one no API key would be found. Set "
            "FAREBOX_SECRET_KEY (or bring back the file farebox.secret) as it was."
        )


def _upstream(settings: Settings) -> OpenAIUpstream | None:
    if not settings.has_provider:
        return None
    key = settings.openai_api_key
    return OpenAIUpstream(settings.openai_base_url, key.get_secret_value() if key is not None else None)


def _live_model(product: Product, upstream: OpenAIUpstream) -> Model:
    model = Model(product.model_name, price_of(product), upstream)
    for plan in product.plans:
        if plan.is_metered_in_money and model.price is None:
            raise FounderError(
                f"Plan({plan.name!r}) is limited in money, and the price of {model.name!r} is not known. Say it in "
                f'your file: prices={{"{model.name}": (input_usd, output_usd)}}, for a million tokens.'
            )
    return model


def price_of(product: Product) -> Price | None:
    """The founder's own price of the product's model, else the published one, else none."""
    mine = product.founder_prices.get(product.model_name)
    return mine if mine is not None else look_up(product.provider, product.model_name)
