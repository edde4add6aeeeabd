"""How a customer logs in: the second factor, passkeys, other services."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from markupsafe import Markup

from farebox.account.other_services import disconnect, label_of
from farebox.account.own_keys import FormUsed
from farebox.account.second_factor import (
    begin_second_factor,
    enrolment,
    form_of_codes,
    new_recovery_codes,
    turn_off_second_factor,
    turn_on_second_factor,
)
from farebox.domain.people import CEREMONY_US, NotAllowed, PersonError, is_fresh
from farebox.domain.period import MICROSECONDS
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.other_services import mark_of
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import Fresh, Visitor, client_of, see_other, set_cookie

TOTP: Final = "__Host-totp"
HERE: Final = "/settings/security"
ALREADY: Final = f"{HERE}?told=already"
TOLD: Final = {
    "on": "The second factor is on.",
    "already": (
        "The second factor is already on. Keep its entry in your app. "
        "If you do not have the recovery codes, make new ones."
    ),
    "newer": "New recovery codes were made since you opened that page, so nothing was done now. The newest ones count.",
    "off": "The second factor is off.",
    "passkey": "The passkey is added. You can log in with it from now on.",
    "renamed": "The passkey has its new name.",
    "removed": "The passkey is removed. Remove it from your device too: it no longer works.",
    "connected": "It is connected. You can log in with it from now on.",
    "disconnected": "It is disconnected.",
}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get(HERE)
    def security(request: Request, visitor: Visitor) -> Response:
        return security_page(frame, request, visitor)

    @router.post(f"{HERE}/services/disconnect")
    def disconnected(
        request: Request, visitor: Fresh, issuer: Annotated[str, Form()] = "", subject: Annotated[str, Form()] = ""
    ) -> Response:
        disconnect(frame.site.desk, visitor, client_of(request), issuer, subject)
        return see_other(f"{HERE}?told=disconnected")

    _add_turning_on(router, frame)
    _add_once_on(router, frame)
    return router


def security_page(
    frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None, **values: str
) -> Response:
    """The page; after an error, with what is wrong in its form."""
    desk, person = frame.site.desk, visitor.person
    identities = desk.proofs.identities.of(person.id)
    connected = {each.issuer for each in identities}
    return frame.page(
        request,
        "security.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error, **values),
        is_fresh=is_fresh(visitor.session, desk.people.now_us()),
        told=TOLD.get(request.query_params.get("told", "")),
        codes_form=form_of_codes(desk, visitor),
        codes_left=desk.proofs.second_factors.codes_left(person.id),
        passkeys=desk.proofs.passkeys.of(person.id),
        identities=[(each, label_of(desk, each.issuer)) for each in identities],
        services=[(name, each.label) for name, each in desk.proofs.services.items() if each.issuer not in connected],
        mark=mark_of(frame.site, visitor),
    )


def _add_turning_on(router: APIRouter, frame: Frame) -> None:
    @router.post(f"{HERE}/totp")
    def begun(request: Request, visitor: Fresh) -> Response:
        if visitor.person.totp_secret is not None:
            return see_other(ALREADY)
        token = begin_second_factor(frame.site.desk, visitor, client_of(request))
        response = see_other(f"{HERE}/totp")
        set_cookie(response, TOTP, token, CEREMONY_US // MICROSECONDS)
        return response

    @router.get(f"{HERE}/totp")
    def form(request: Request, visitor: Fresh) -> Response:
        if visitor.person.totp_secret is not None:
            return see_other(ALREADY)
        return _totp_page(frame, request, visitor)

    @router.post(f"{HERE}/totp/on")
    def turned_on(request: Request, visitor: Fresh, code: Annotated[str, Form()] = "") -> Response:
        desk, client, token = frame.site.desk, client_of(request), request.cookies.get(TOTP, "")
        try:
            codes = turn_on_second_factor(desk, visitor, client, token=token, code=code)
        except NotAllowed:
            return see_other(ALREADY)
        except PersonError as error:
            if not error.field and error.retry_after_seconds is None:
                raise
            return _totp_page(frame, request, visitor, error)
        # The cookie is left to expire by itself: by it, the page shows the same codes when it is loaded again.
        return frame.page(request, "recovery_codes.html", visitor=visitor, codes=codes, is_new=True, told=TOLD["on"])


def _add_once_on(router: APIRouter, frame: Frame) -> None:
    @router.post(f"{HERE}/totp/off")
    def turned_off(request: Request, visitor: Fresh) -> Response:
        turn_off_second_factor(frame.site.desk, visitor, client_of(request))
        return see_other(f"{HERE}?told=off")

    @router.post(f"{HERE}/codes")
    def made(request: Request, visitor: Fresh, form: Annotated[str, Form()] = "") -> Response:
        try:
            codes = new_recovery_codes(frame.site.desk, visitor, client_of(request), form)
        except FormUsed:
            return see_other(f"{HERE}?told=newer")
        return frame.page(request, "recovery_codes.html", visitor=visitor, codes=codes, is_new=False, told="")


def _totp_page(frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None) -> Response:
    found = enrolment(frame.site.desk, visitor, request.cookies.get(TOTP, ""))
    text = " ".join(found.text[start : start + 4] for start in range(0, len(found.text), 4))
    return frame.page(
        request,
        "totp.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error),
        told="",
        secret=text,
        uri=found.uri,
        picture=qr_code(found.uri),
    )


def qr_code(text: str) -> Markup:
    """A picture that telephones read: black on white, by day and by night."""
    import segno  # noqa: PLC0415  # loaded when somebody turns their second factor on

    drawn = segno.make(text, micro=False, error="m")
    return Markup(drawn.svg_inline(dark="#000", light="#fff", border=4, omitsize=True, svgclass="qr", lineclass=None))  # noqa: S704
