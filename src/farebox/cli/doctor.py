"""The command `farebox doctor`: the mistakes that are really made, each with the one thing to do."""

import http.client
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from farebox import settings as settings_module
from farebox import wiring
from farebox.app import Farebox
from farebox.cli.context import AppOption
from farebox.cli.doctor_database import check_database
from farebox.cli.doctor_env import check_env_files
from farebox.cli.doctor_mail import check_mail
from farebox.cli.doctor_provider import check_provider
from farebox.cli.doctor_stripe import check_stripe
from farebox.cli.findings import Finding, fix, note, ok
from farebox.cli.load import load_app
from farebox.cli.own_templates import look_at_templates
from farebox.cli.serve import PortOption
from farebox.cli.server import cannot_listen, open_port
from farebox.domain.endpoints import EMBEDDINGS, GENERATE
from farebox.domain.errors import FounderError
from farebox.domain.money import format_usd
from farebox.domain.odd_prices import odd_prices
from farebox.domain.product import Product
from farebox.settings import Settings
from farebox.web.handler import Handler

HOST: Final = "127.0.0.1"
PYTHON_MIN: Final = (3, 11)


def doctor(
    app: AppOption = None,
    port: PortOption = 8000,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="How many processes you mean to serve by.")
    ] = 1,
) -> None:
    """Find what is set up wrongly. Each line that says FIX names what is wrong and the one thing to do."""
    wrong = 0
    for finding in _examine(app, port, workers):
        typer.echo(str(finding))
        wrong += finding.level == "FIX"
    if wrong:
        raise typer.Exit(1)


def _examine(target: str | None, port: int, workers: int) -> Iterator[Finding]:
    yield _python()
    app, loaded = _load(target)
    yield loaded
    yield from _whole("templates", look_at_templates(app.folder if app else None))
    folders = [folder for folder in (app.folder if app else None, Path.cwd()) if folder is not None]
    yield from check_env_files(folders)
    try:
        settings = settings_module.load(app.folder if app else None)
    except FounderError as error:
        yield Finding("FIX", f"settings: {error}")
    else:
        product, chosen = _product(app, settings)
        yield from chosen
        if product is not None:
            yield from _whole("provider", check_provider(settings, product))
        yield from _whole("database", check_database(settings, product, max(workers, _web_concurrency())))
        yield from _whole("mail", check_mail(settings, product or Product()))
        yield from _proxies(settings)
        yield from _whole("stripe", check_stripe(settings, product))
        if product is not None and app is not None:
            yield from (note("app file", sentence) for sentence in app.shadowed)
            yield from _whole("price", _prices(settings, product))
            yield from _whole("plans", _plans(product))
            yield from _whole("plans", _room(settings, product, app.handlers.values()))
            if app.handlers:
                yield from _whole("plans", _bare_model(settings, product))
    yield _port(port)


def _whole(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What a check finds, and, where it breaks off, that it did: the others have more to say."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001  # whatever it is; its words may have a secret in them
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__}, at {Path(last.filename).name}, line {last.lineno}"
        yield fix(subject, f"the rest could not be looked at ({where})", "that is Farebox's mistake: please report it")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON_MIN:
        return fix("python", f"Farebox needs Python 3.11, and this is {version}", "install a newer one")
    return ok("python", version)


def _load(target: str | None) -> tuple[Farebox | None, Finding]:
    try:
        app = load_app(target)
    except FounderError as error:
        return None, Finding("FIX", f"app file: {error}")
    if app.folder is None:
        return app, note("app file", "there is no app.py here, so the demo product is served")
    return app, ok("app file", f"{app.product.name}, with the plans {', '.join(app.product.by_name)}")


def _product(app: Farebox | None, settings: Settings) -> tuple[Product | None, list[Finding]]:
    """The product behind the model that is really asked; None where the file cannot be loaded."""
    if app is None:
        return None, []
    try:
        return wiring.chosen(app.product, settings), []
    except FounderError as error:
        return app.product, [Finding("FIX", f"settings: {error}")]


def _web_concurrency() -> int:
    told = os.environ.get("WEB_CONCURRENCY", "")
    return int(told) if told.isascii() and told.isdigit() else 1


def _proxies(settings: Settings) -> Iterator[Finding]:
    """Farebox speaks no TLS, so where its address is https something before it does."""
    if settings.public_url.startswith("https://") and not settings.proxies():
        wrong = "FAREBOX_TRUSTED_PROXIES is not set, so all customers count as one address where log-ins are bounded"
        yield note("proxies", f"{wrong}; set it to the address of what takes https for you")
    if any(network.prefixlen == 0 for network in settings.proxies()):
        wrong = "FAREBOX_TRUSTED_PROXIES believes everybody, so each request chooses the address that it is counted by"
        yield note("proxies", f"{wrong}; set it to your own proxies and nothing else")


def _prices(settings: Settings, product: Product) -> Iterator[Finding]:
    for sentence in odd_prices(product):
        yield note("price", sentence)
    in_money = [plan.name for plan in product.plans if plan.is_metered_in_money]
    for model, price in wiring.prices_of(product, wiring.usable(product.asked, product, settings)).items():
        if price is not None:
            usd = [format_usd(figure) for figure in (price.input_per_mtok, price.output_per_mtok)]
            yield ok("price", f"{model.name} costs {usd[0]} in and {usd[1]} out, a million tokens")
            continue
        say_it = f'say it in your file: prices={{"{model.name}": (input_usd, output_usd)}}'
        if in_money:
            wrong = f"that of {model.name} is not known, and plan {in_money[0]!r} is limited in money"
            yield fix("price", wrong, say_it)
        else:
            yield note("price", f"that of {model.name} is not known, so costs are recorded as 0; {say_it}")


def _plans(product: Product) -> Iterator[Finding]:
    for plan in product.plans:
        if plan.calls is None and plan.tokens is None and plan.credit_nanodollars is None:
            yield note("plans", f"{plan.name!r} has no monthly limit: one customer can spend any sum of yours")
        if plan.prepaid and not product.packs:
            wrong = f"{plan.name!r} is prepaid, and there is nothing to buy for what is beyond it"
            yield note("plans", f'{wrong}; sell credit in your file: packs=[Pack("small", usd=10)]')


def _room(settings: Settings, product: Product, handlers: Iterable[Handler]) -> Iterator[Finding]:
    """Functions whose hold has no room in a plan's credit: no call would pass."""
    limited = [plan for plan in product.plans if plan.credit_nanodollars and not plan.credit_overage]
    for handler in handlers:
        names = (handler.terms.models if settings.model is None else None) or product.models
        # Where none can be asked, the price of the first one counts, as in farebox dev.
        prices = wiring.prices_of(product, wiring.usable(names, product, settings) or names[:1])
        for plan in limited:
            most, credit = handler.most_charged(plan, list(prices.values())), plan.credit_nanodollars or 0
            if most is not None and most > credit:
                wrong = f"a call of {handler.name} can come to {format_usd(most)}, and {plan.name!r} has"
                remedy = "lower max_input_tokens=… or max_output_tokens=… of the function, or raise the plan's credit"
                yield fix("plans", f"{wrong} {format_usd(credit)} a month, so none would ever pass", remedy)


def _bare_model(settings: Settings, product: Product) -> Iterator[Finding]:
    """Beside functions: the model itself, by the call, with prompts that nothing but the body's size bounds."""
    relayed = [path for path in product.listed_endpoints if path not in {GENERATE, EMBEDDINGS}]
    # A plan with 0 calls, and no price beyond them, is closed on purpose.
    by_call = [
        plan.name
        for plan in product.plans
        if plan.calls is not None and plan.tokens is None and plan.credit_nanodollars is None
        if plan.calls or plan.has_overage
    ]
    if not relayed or not by_call:
        return
    what = f"your model itself is on sale too, at {' and '.join(relayed)}: a call counts for one"
    most = f"with a request of up to {settings.body_bytes_max:,} bytes, as far as the model's context has room"
    remedy = f"endpoints=[] in your file closes them, and tokens=… or credit_usd=… in plan {by_call[0]!r} bounds them"
    yield note("plans", f"{what}, {most}; {remedy}")


def _port(port: int) -> Finding:
    try:
        open_port(HOST, port).close()
    except OSError as error:
        if _is_farebox(port):
            return ok("port", f"{port} is served by a Farebox")
        wrong, option = cannot_listen(error, HOST, port)
        return fix("port", wrong, f"farebox dev {option}")
    return ok("port", f"{port} is free")


def _is_farebox(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return "openai_key_loaded" in json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()
