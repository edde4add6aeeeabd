"""How an error is told to a person at a page: beside the form where there is one, else on a page of its own."""

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response

from farebox.domain.errors import RequestRefused
from farebox.domain.people import PersonError
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import who_is_told

TITLES: Mapping[int, str] = {
    403: "You may not do this", 410: "This link no longer works", 429: "That was too often", 503: "We are very busy",
}  # fmt: skip


def form_of(error: PersonError | None, **values: str) -> FormState:
    """A form as it was typed, with what is wrong with it."""
    return FormState(values, {error.field: error.detail} if error is not None else {})


def form_again(frame: Frame, request: Request, template: str, error: PersonError, **values: str) -> Response:
    """The form once more, with the sentence beside its field and what was typed; a password is not among `values`."""
    page = frame.page(request, template, status=error.status, form=form_of(error, **values), **values)
    if error.retry_after_seconds is not None:
        page.headers["retry-after"] = str(error.retry_after_seconds)
    return page


def add_person_errors(app: FastAPI, frame: Frame) -> None:
    """Show what a use case refuses on a page of its own, if no form has shown it."""

    @app.exception_handler(PersonError)
    def refused(request: Request, error: PersonError) -> Response:
        told = RequestRefused(error.detail, retry_after_seconds=error.retry_after_seconds).of_status(error.status)
        return frame.error(request, told, TITLES.get(error.status), visitor=who_is_told(request, error.status))
