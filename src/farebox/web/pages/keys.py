"""The account's API keys: make, replace, revoke. A new key is in the answer to its form, and nowhere else."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account.desk import new_token
from farebox.account.keys import KeyTerms, NewKey
from farebox.account.own_keys import FormUsed, make_key, own_key, own_keys, replace_key
from farebox.domain.apikey import Mode
from farebox.domain.errors import InvalidRequest
from farebox.domain.people import PersonError
from farebox.domain.period import DAY_US, day
from farebox.ports.calls import KeyRow
from farebox.ports.people import SEEN_DAYS, Visit
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame
from farebox.web.pages.offers import offer_at
from farebox.web.pages.snippets import curl
from farebox.web.pages.visitor import Visitor, client_of, see_other

GRACES: Final = {"0": "at once", "3600": "after 1 hour", "86400": "after 24 hours", "604800": "after 7 days"}
"""When the old key ends, by the seconds until then."""
AGAIN: Final = (
    "This form was already sent, so nothing was done. A new key is shown once; if you did not copy it, revoke it and "
    "create another one."
)
DONE: Final = {
    "revoked": ("good", "The key is revoked. Calls with it are refused from now on."),
    "again": ("warn", AGAIN),
}
DIGITS_MAX: Final = 15


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    _add_list(router, frame)
    _add_rotate(router, frame)
    _add_revoke(router, frame)
    return router


def _add_list(router: APIRouter, frame: Frame) -> None:
    @router.get("/keys")
    def keys(request: Request, visitor: Visitor, done: str = "") -> Response:
        return _listed(frame, request, visitor, FormState({"mode": "live"}), done=done)

    @router.post("/keys")
    def created(
        request: Request,
        visitor: Visitor,
        name: Annotated[str, Form()] = "",
        mode: Annotated[Mode, Form()] = "live",
        scopes: Annotated[list[str], Form()] = [],  # noqa: B006  # FastAPI copies it
        cap: Annotated[str, Form()] = "",
        days: Annotated[str, Form()] = "",
        form: Annotated[str, Form()] = "",
    ) -> Response:
        desk = frame.site.desk
        try:
            terms = KeyTerms(_name(name), mode, tuple(scopes), _whole(cap, "cap"), _whole(days, "days"))
            new = make_key(desk, visitor, client_of(request), terms, frame.site.paid.keys(), form)
        except FormUsed:
            return see_other("/keys?done=again")
        except PersonError as error:
            typed = {"name": name, "mode": mode, "cap": cap, "days": days}
            state = FormState(typed, {error.field: error.detail})
            return _listed(frame, request, visitor, state, status=error.status, scopes=scopes)
        return _shown(frame, request, visitor, new)


def _add_rotate(router: APIRouter, frame: Frame) -> None:
    @router.get("/keys/{key_id}/rotate")
    def asked(request: Request, visitor: Visitor, key_id: str) -> Response:
        key = own_key(frame.site.desk, visitor, key_id)
        return _rotating(frame, request, visitor, key, FormState({"grace": "86400"}))

    @router.post("/keys/{key_id}/rotate")
    def rotated(
        request: Request,
        visitor: Visitor,
        key_id: str,
        grace: Annotated[str, Form()] = "",
        form: Annotated[str, Form()] = "",
    ) -> Response:
        old = own_key(frame.site.desk, visitor, key_id)
        if grace not in GRACES:
            raise InvalidRequest("Choose when the old key ends.", param="grace")
        try:
            new = replace_key(frame.site.desk, visitor, client_of(request), old, int(grace), form)
        except FormUsed:
            return see_other("/keys?done=again")
        except PersonError as error:
            state = FormState({"grace": grace}, {error.field: error.detail})
            return _rotating(frame, request, visitor, old, state, status=error.status)
        replaced = own_key(frame.site.desk, visitor, old.id)  # one that had an earlier end keeps it
        return _shown(frame, request, visitor, new, old=replaced, has_ended=grace == "0")


def _add_revoke(router: APIRouter, frame: Frame) -> None:
    @router.get("/keys/{key_id}/revoke")
    def asked(request: Request, visitor: Visitor, key_id: str) -> Response:
        key = own_key(frame.site.desk, visitor, key_id)
        return frame.page(request, "key_revoke.html", visitor=visitor, key=key)

    @router.post("/keys/{key_id}/revoke")
    def revoked(request: Request, visitor: Visitor, key_id: str) -> Response:
        key = own_key(frame.site.desk, visitor, key_id)
        frame.site.desk.keys.revoke(visitor, client_of(request), key.id)
        return see_other("/keys?done=revoked")


def _listed(
    frame: Frame, request: Request, visitor: Visit, form: FormState, *, done: str = "", status: int = 200,
    scopes: list[str] | None = None,
) -> Response:  # fmt: skip
    found = own_keys(frame.site.desk, visitor)

    def works(key: KeyRow) -> bool:
        return key.revoked_us is None and (key.expires_us is None or key.expires_us > found.now_us)

    return frame.page(
        request, "keys.html", status=status, visitor=visitor, form=form, chosen=scopes or [], token=new_token(),
        endpoints=frame.site.listed, since=day(found.period.start_us), done=DONE.get(done),
        lately_us=found.now_us - SEEN_DAYS * DAY_US, soon_us=found.now_us + 2 * DAY_US,
        working=[key for key in found.keys if works(key.row)], ended=[key for key in found.keys if not works(key.row)],
    )  # fmt: skip


def _rotating(
    frame: Frame, request: Request, visitor: Visit, key: KeyRow, form: FormState, status: int = 200
) -> Response:
    return frame.page(
        request, "key_rotate.html", status=status, visitor=visitor, key=key, form=form, token=new_token(),
        graces=list(GRACES.items()),
    )  # fmt: skip


def _shown(
    frame: Frame, request: Request, visitor: Visit, new: NewKey, *, old: KeyRow | None = None, has_ended: bool = False
) -> Response:
    """The only page that shows the key, with a first call, if one would work: the answer to the form, kept nowhere."""
    scopes = new.row.scopes.split(",") if new.row.scopes else []
    offer = offer_at(frame.site, scopes)
    call = curl(offer, f"{frame.address(request)}{offer.path}", new.key.text, offer.request) if offer else None
    return frame.page(
        request, "key_made.html", visitor=visitor, key=new.row, text=new.key.text, call=call, old=old,
        has_ended=has_ended,
    )  # fmt: skip


def _name(text: str) -> str:
    """The name of a key, as it was typed.

    Raises:
        PersonError: it is empty.
    """
    if not text.strip():
        raise PersonError("Give it a name, so that you can find it in the list.", field="name")
    return text.strip()


def _whole(text: str, field: str) -> int | None:
    """A whole number as people write it; None where nothing was typed.

    Raises:
        PersonError: it is none.
    """
    digits = text.replace(",", "").replace(" ", "")
    if not digits:
        return None
    if not digits.isascii() or not digits.isdigit() or len(digits) > DIGITS_MAX:
        raise PersonError("Enter a whole number, or leave it empty.", field=field)
    return int(digits)
