"""Settings → the running system. Only the modules of this package make adapters."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farebox.account.deliver_mail import Delivery
from farebox.account.desk import Desk
from farebox.account.limit_mails import LimitWatch
from farebox.adapters.openai_http import OpenAIUpstream
from farebox.adapters.price_data import Sold, look_up
from farebox.call import Service, Wire
from farebox.call.events import Events
from farebox.call.handling import Choice
from farebox.call.service import Chain, Model
from farebox.call.settle import settle
from farebox.domain.admission import Standing
from farebox.domain.apikey import Mode
from farebox.domain.breaker import Breaker
from farebox.domain.errors import FounderError
from farebox.domain.events import Event
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.prices import FREE, Price
from farebox.domain.product import Product
from farebox.domain.providers import ModelName
from farebox.domain.remedies import remedies_of
from farebox.ports.calls import Readings
from farebox.ports.money import Invoices
from farebox.sandbox.mailbox import Mailbox
from farebox.sandbox.model import SANDBOX_MODEL, SandboxModel
from farebox.settings import Settings, secret_of
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.limit_marks import StoredLimitMarks
from farebox.store.mail_outbox import StoredMailOutbox
from farebox.store.migrations import HEAD
from farebox.store.notes import note_once
from farebox.wiring.askers import check_answered, warn_of_missing
from farebox.wiring.askers import usable as usable
from farebox.wiring.money import Money, check_keys, money_of
from farebox.wiring.people import check_mail, delivery_of, desk_of, invoices_of, mailbox_of, readings_of
from farebox.wiring.usage import Reporting, reporting_of

FINGERPRINT: Final = "secret_fingerprint"
Watch = Callable[[Hold, Outcome, Standing | None], None]
Way = tuple[OpenAIUpstream, Breaker]


@dataclass(frozen=True, slots=True)
class Chains:
    """The models behind names. Test keys get the sandbox, and so do live calls where no provider can be asked.

    Such live calls are billed only in `farebox dev`, whose Stripe is a stand-in, at the price of the missing model.
    """

    product: Product
    models: Mapping[ModelName, Model]
    bills_sandbox: bool

    def of(self, names: Sequence[ModelName]) -> dict[Mode, Chain]:
        """The models that may be asked, for each mode; the sandbox's where there is none."""
        usable = tuple(self.models[name] for name in names if name in self.models)
        return {"live": usable or self._instead_of(names), "test": _sandbox()}

    def _instead_of(self, names: Sequence[ModelName]) -> Chain:
        if not self.bills_sandbox:
            return _sandbox()
        (price,) = prices_of(self.product, names[:1]).values()
        return _sandbox(price or FREE, is_billed=True)


def _sandbox(price: Price = FREE, *, is_billed: bool = False) -> Chain:
    return (Model(SANDBOX_MODEL, "sandbox", price, SandboxModel(), Breaker(0, 0), is_billed=is_billed),)


@dataclass(slots=True)
class System:
    """One process of the service. `start` it inside the event loop, `stop` it there too."""

    settings: Settings
    database: Database
    ledger: GroupCommitLedger
    service: Service
    chains: Chains
    upstreams: Sequence[OpenAIUpstream]
    mail_outbox: StoredMailOutbox
    delivery: Delivery
    limits: LimitWatch
    mailbox: Mailbox | None
    """The mails that nobody gets, as `farebox dev` keeps them."""
    reporting: Reporting | None
    """The sender of usage to Stripe; None where nothing is sold."""
    money: Money | None = None
    """None where nothing is sold."""
    _tasks: "list[asyncio.Task[None]]" = field(init=False, default_factory=list)

    @property
    def has_provider(self) -> bool:
        """Whether live calls go to a provider, and not to the sandbox."""
        return any(not isinstance(model.upstream, SandboxModel) for model in self.service.models["live"])

    def desk(self, product: Product, tell: Callable[[Event], None]) -> Desk:
        """The desk where people are let in; `tell` is called on the threads of pages."""
        return desk_of(product, self.settings, self.database, self.service.secret, self.delivery, self.limits, tell)

    def readings(self) -> Readings:
        """The readings of customers about their calls."""
        return readings_of(self.database)

    def invoices(self) -> Invoices:
        """The invoices of customers."""
        return invoices_of(self.database)

    async def start(self) -> None:
        self.ledger.start()
        seconds = self.settings.sweep_seconds
        works = [settle(self.ledger, seconds), self.delivery.run(seconds), self.limits.run()]
        if self.money is not None:
            works += [self.money.clerk.run(seconds), self.money.watch.run(seconds)]
        if self.reporting is not None:
            works.append(self.reporting.report.run(seconds))
        self._tasks += [asyncio.create_task(work) for work in works]

    async def stop(self) -> None:
        """Finish what waits for the ledger, and what is being sent, then close everything."""
        self.delivery.end()
        if self.money is not None:
            self.money.clerk.end()
        if self.reporting is not None:
            self.reporting.report.end()
        for task in self._tasks:
            task.cancel()
        await self.ledger.close()
        for upstream in self.upstreams:
            await upstream.close()
        await asyncio.to_thread(self.mail_outbox.close)
        if self.money is not None:
            await asyncio.to_thread(self.money.close)
        if self.reporting is not None:
            await asyncio.to_thread(self.reporting.close)
        self.database.close()


def build(
    product: Product,
    settings: Settings,
    folder: Path,
    events: Events | None = None,
    *,
    templates: Path | None = None,
    is_dev: bool = False,
    bills_sandbox: bool = False,
    tell: Callable[[Event], None] = lambda _: None,
) -> System:
    """The system of one process.

    The secret is kept in `folder`, if the settings have none; a founder's own templates may be in `templates`. With
    `is_dev`, mails that are sent to nobody are kept to be looked at, and the sandbox answers for any model that cannot
    be asked; with `bills_sandbox`, live calls that it answers are billed. `tell` tells the founder's listeners of what
    happened beside calls, from any thread.

    Raises:
        FounderError: something is set up wrongly; the message says what to do.
    """
    product = chosen(product, settings)
    if not is_dev:
        check_answered(product, settings)
    asked = usable(product.asked, product, settings)
    ways = _ways(product, settings, asked)
    models = _models(product, ways, asked)
    warn_of_missing(product, settings)
    database, secret = open_store(settings, folder)
    mailbox = mailbox_of(settings) if is_dev else None
    mail_outbox = StoredMailOutbox(database)
    delivery = delivery_of(product, settings, templates, mail_outbox, secret, mailbox)
    limits = LimitWatch(StoredLimitMarks(database), product.by_name, delivery.wake)
    money = money_of(product, settings, database, delivery.wake, tell)
    ledger = GroupCommitLedger(database, product.by_name, remedies_of(product, sells=money is not None))
    if money is not None:
        money.changed += [limits.soon, money.watch.soon]
    chains = Chains(product, models, bills_sandbox)
    watch = limits.recorded if money is None else _both(limits.recorded, money.watch.recorded)
    service = _service(product, settings, ledger, secret, chains, events, watch)
    upstreams = [upstream for upstream, _ in ways.values()]
    reporting = reporting_of(settings, database)
    if money is not None and reporting is not None:
        money.open_invoice.append(reporting.report.flush)
    return System(
        settings=settings, database=database, ledger=ledger, service=service, chains=chains, upstreams=upstreams,
        mail_outbox=mail_outbox, delivery=delivery, limits=limits, mailbox=mailbox, reporting=reporting, money=money,
    )  # fmt: skip


def _service(
    product: Product, settings: Settings, ledger: GroupCommitLedger, secret: bytes, chains: Chains,
    events: Events | None, watch: Watch,
) -> Service:  # fmt: skip
    """The service for every call: the models that can be asked, or the sandbox's, and the bounds."""
    return Service(
        ledger=ledger,
        models=chains.of(product.models),
        embedding_models=chains.of([product.embedding]) if product.embedding is not None else {"live": (), "test": ()},
        secret=secret,
        call_seconds_max=settings.call_seconds_max,
        hold_ttl_seconds=settings.hold_seconds,
        upstream_retries_max=settings.upstream_retries_max,
        idempotency_seconds=settings.idempotency_seconds,
        openai_client=openai_client,
        events=events,
        watch=watch,
    )


def _both(first: Watch, second: Watch) -> Watch:
    def recorded(hold: Hold, outcome: Outcome, standing: Standing | None) -> None:
        first(hold, outcome, standing)
        second(hold, outcome, standing)

    return recorded


def check(product: Product, settings: Settings, *, is_dev: bool = False) -> None:
    """Find any mistake with which a process would refuse to start; `is_dev` is that of `build`.

    Raises:
        FounderError: as `build`.
    """
    product = chosen(product, settings)
    check_mail(product, settings)
    check_keys(settings)
    if not is_dev:
        check_answered(product, settings)
    models = usable(product.asked, product, settings)
    ways = _ways(product, settings, models)
    if any(plan.is_metered_in_money for plan in product.plans):
        _models(product, ways, models)


def openai_client(wire: Wire, models: Choice, embedding: Choice) -> object:
    """The OpenAI client of one call."""
    from farebox.adapters import openai_client as adapter  # noqa: PLC0415  # the SDK is loaded where it is used

    return adapter.openai_client(wire, models, embedding)


def chosen(product: Product, settings: Settings) -> Product:
    """The product with the model that the settings name, else as the file has it.

    Raises:
        FounderError: FAREBOX_MODEL is no model.
    """
    if settings.model is None:
        return product
    try:
        return product.with_model(settings.model)
    except FounderError as error:
        raise FounderError(f"FAREBOX_MODEL={str(error).removeprefix('model=')}") from None


def prices_of(product: Product, models: Iterable[ModelName]) -> dict[ModelName, Price | None]:
    """The founder's own price of each model, else the published one, else none; a model on this machine is free."""
    found: dict[ModelName, Price | None] = {}
    for model in models:
        at_home = FREE if product.provider_of(model).is_local else None
        found[model] = product.founder_prices.get(model, at_home)
    asked = [model for model, price in found.items() if price is None]
    sold = [Sold(product.provider_of(model).price_list, model.name, model == product.embedding) for model in asked]
    return found | dict(zip(asked, look_up(sold), strict=True))


def open_store(settings: Settings, folder: Path) -> tuple[Database, bytes]:
    """The database, ready to use, and the secret that its keys were made with.

    Raises:
        FounderError: it is not migrated, or belongs to another secret.
        LedgerUnavailable: it cannot be reached.
    """
    with ExitStack() as refused:
        database = refused.enter_context(closing(Database(settings.database_url)))
        # A worker may start on newer tables than its code's, if the one that it replaces ran on them (decision 28).
        if settings.tables_found != HEAD or (database.revision() or "") < HEAD:
            _check_tables(database)
        secret = secret_of(settings, folder)
        _check_secret(database, secret)
        refused.pop_all()  # it stays open
    return database, secret


def _check_tables(database: Database) -> None:
    if database.is_sqlite:
        database.migrate()
    elif database.revision() != HEAD:
        from farebox.store.foreign_database import refuse_foreign  # noqa: PLC0415  # SQLAlchemy, for the sake of a refusal

        refuse_foreign(database)
        if database.revision() is None:
            raise FounderError("The database has none of Farebox's tables yet. Run: farebox migrate")
        raise FounderError("The database's tables are not the ones this version needs. Run: farebox migrate")


def fingerprint(secret: bytes) -> str:
    """A fingerprint that tells two secrets apart, and tells nothing about either."""
    return hmac.new(secret, b"farebox fingerprint", hashlib.sha256).hexdigest()[:16]


def _check_secret(database: Database, secret: bytes) -> None:
    mine = fingerprint(secret)
    if note_once(database, FINGERPRINT, mine) != mine:
        raise FounderError(
            "This database was set up with another secret, and with this one no API key would be found. Set "
            "FAREBOX_SECRET_KEY (or bring back the file farebox.secret) as it was."
        )


def _ways(product: Product, settings: Settings, models: Iterable[ModelName]) -> dict[str, Way]:
    """The way to each model's provider, and its breaker: the models of one provider share both."""
    ways: dict[str, Way] = {}
    for name in dict.fromkeys(model.provider for model in models):
        provider = product.known_providers[name]
        key = settings.provider_key(provider)
        url, idle_seconds_max = settings.provider_url(provider), settings.stream_idle_seconds_max
        ways[name] = (
            OpenAIUpstream(url, key.get_secret_value() if key else None, provider, idle_seconds_max),
            Breaker(settings.breaker_failures, settings.breaker_seconds),
        )
    return ways


def _models(product: Product, ways: Mapping[str, Way], names: Iterable[ModelName]) -> dict[ModelName, Model]:
    prices = prices_of(product, names)
    _check_prices(product, prices)
    return {name: Model(name.name, name.provider, price, *ways[name.provider]) for name, price in prices.items()}


def _check_prices(product: Product, prices: Mapping[ModelName, Price | None]) -> None:
    in_money = next((plan.name for plan in product.plans if plan.is_metered_in_money), None)
    for model, price in prices.items():
        if in_money is not None and price is None:
            raise FounderError(
                f"Plan({in_money!r}) is limited in money, and the price of {model.name!r} is not known. Say it in "
                f'your file: prices={{"{model.name}": (input_usd, output_usd)}}, for a million tokens.'
            )
