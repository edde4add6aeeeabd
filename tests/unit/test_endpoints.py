"""The built-in endpoints that a founder leaves out are nowhere: not served, not documented, not in the Playground."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from fastapi import APIRouter, Response
from starlette.testclient import TestClient

from farebox import Call, Farebox, File, FounderError, Plan, settings
from farebox.cli import doctor
from farebox.cli.context import Shop
from farebox.cli.dev import _first_lines
from farebox.cli.serve import warn_of_routes
from farebox.domain.endpoints import BUILT_IN
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.web.pages.offers import callable_offers, offer_at, paid_offers

CHAT: Final = "/v1/chat/completions"
UNLISTED: Final = "/v1/embeddings"


def product(endpoints: Sequence[str] | None, embedding_model: str | None = None) -> Farebox:
    app = Farebox("Scores", endpoints=endpoints, embedding_model=embedding_model)

    @app.paid
    async def score(call: Call, lead: str) -> str:
        """Score a lead."""
        return await call.ask(lead)

    return app


@pytest.mark.parametrize(
    ("endpoints", "embedding_model", "listed"),
    [
        (None, None, set(BUILT_IN) - {UNLISTED}),
        (None, "openai:text-embedding-3-small", set(BUILT_IN)),
        ([CHAT], None, {CHAT}),
        ((), "openai:text-embedding-3-small", set()),
    ],
)
def test_an_endpoint_that_is_not_on_sale_is_not_there(
    bare: Path, endpoints: Sequence[str] | None, embedding_model: str | None, listed: set[str]
) -> None:
    app = product(endpoints, embedding_model)
    app.folder = bare
    with TestClient(app) as client:
        page = client.get("/openapi.json").json()
        assert {path for path in page["paths"] if path in BUILT_IN} == listed
        docs, landing = client.get("/docs").text, client.get("/").text
        for path in BUILT_IN:
            reply = client.post(path, json={})
            served = endpoints is None or path in endpoints
            assert (reply.status_code, reply.json()["error"]["code"]) == (
                (401, "invalid_api_key") if served else (404, "not_found")
            )
            assert (f"<code>{path}</code>" in docs) is (path in listed)
            assert path not in landing
        assert client.get("/v1/models").status_code == (404 if endpoints == () else 401)
        assert ("GenerateIn" in str(page)) is ("/v1/generate" in listed)
        assert client.post("/v1/score", json={}).status_code == 401
        site = app._served().site()
        assert set(paid_offers(site)) == {"/v1/score", *listed} == set(site.listed)
        assert ("generate" in {offer.name for offer in callable_offers(site)}) is ("/v1/generate" in listed)
        begun = [offer_at(site, paths) for paths in ([], ["/v1/score"], [CHAT])]
        assert [offer and offer.path for offer in begun] == ["/v1/score"] * 2 + [CHAT if CHAT in listed else None]


@pytest.mark.parametrize(
    ("endpoints", "sentence"),
    [
        (["/v1/chat/completion"], "endpoints has '/v1/chat/completion', .*; did you mean '/v1/chat/completions'\\?$"),
        (["score"], "endpoints has 'score', which is none .*; they are /v1/generate, /v1/chat/completions, "),
        ([None], "endpoints has None, which is none of the built-in endpoints"),
        (CHAT, r'endpoints has to be a list, as in endpoints=\["/v1/chat/completions"\], or \[\] for none, not '),
        ([UNLISTED], "endpoints has '/v1/embeddings', which needs a model of its own; add one, as embedding_model="),
    ],
)
def test_a_wrong_name_of_an_endpoint_is_told(endpoints: Sequence[str], sentence: str) -> None:
    with pytest.raises(FounderError, match=sentence):
        product(endpoints)


def test_a_product_with_nothing_to_show_is_told_at_the_start() -> None:
    with pytest.raises(FounderError, match=r"line \d+: endpoints leaves out /v1/generate, and there is no function"):
        Farebox("Bare", endpoints=[CHAT]).check()


def test_a_route_of_the_founders_own_may_take_a_path_that_is_free(bare: Path) -> None:
    app = product([])
    app.folder = bare

    @app.post(CHAT)
    async def mine() -> str:
        return "mine"

    assert app.shadowed == []
    with TestClient(app) as client:
        assert client.post(CHAT).json() == "mine"
        assert "post" in client.get("/openapi.json").json()["paths"][CHAT]


def test_a_route_of_the_founders_own_that_is_never_asked_is_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = product([CHAT])
    app.get(CHAT)(lambda: "it is asked")
    app.post("/v1/responses")(lambda: "it is asked")
    router, outer = APIRouter(prefix="/chat"), APIRouter(prefix="/v1")
    router.post("/completions")(lambda: "it is not")
    outer.include_router(router)
    app.include_router(outer)
    told = (
        "your route POST /v1/chat/completions is never asked, as that is one of the built-in endpoints; leave it "
        "out of endpoints=[…] in your file, or give the route another path"
    )
    assert app.shadowed == [told]
    database = Database(f"sqlite:///{tmp_path}/farebox.db")
    warn_of_routes(Shop(app, settings.load(None), database, b"", StoredAccounts(database)))
    assert capsys.readouterr().err == f"Warning: {told}.\n"
    app.add_route(CHAT, lambda _: Response(), methods=["POST"])
    assert app.shadowed == [told, told]


def test_dev_shows_a_first_call_only_where_one_can_be_pasted() -> None:
    assert '/v1/score -H "X-API-Key' in _first_lines(product([]), "http://here", "key")[-1].replace("'", '"')
    app = Farebox("Files", endpoints=[])

    @app.paid
    async def read(call: Call, file: File) -> str:
        """Read a file."""
        return await call.ask(file.text())

    assert _first_lines(app, "http://here", "key") == [
        "Each of its functions takes a file: make a first call at http://here/docs."
    ]


def test_the_doctor_notes_a_model_that_is_sold_by_the_call_beside_functions() -> None:
    def notes(endpoints: Sequence[str] | None, *plans: Plan) -> list[str]:
        found = doctor._bare_model(settings.load(None), Product(plans=plans, endpoints=endpoints))
        return [str(finding) for finding in found]

    free, bounded = Plan("free", calls=20), Plan("pro", calls=5_000, tokens=1_000_000)
    [told] = notes(None, bounded, free)
    assert told == (
        "note plans: your model itself is on sale too, at /v1/chat/completions and /v1/responses: a call counts for "
        "one, with a request of up to 1,048,576 bytes, as far as the model's context has room; endpoints=[] in your "
        "file closes them, and tokens=… or credit_usd=… in plan 'free' bounds them"
    )
    assert "at /v1/chat/completions: a call" in notes([CHAT], free)[0]
    assert notes(["/v1/generate"], free) == notes(None, bounded) == notes(None, Plan("closed", calls=0)) == []
    assert "in plan 'by-call' bounds" in notes(None, Plan("by-call", calls=0, overage_usd=0.01))[0]
