"""The shortest form of an endpoint: its prompt is written in the docstring, and it has no body."""

import ast
import functools
import inspect
from collections.abc import Callable
from enum import Enum
from string import Formatter
from typing import Any, Final

from pydantic_core import to_json

from farebox.call.form import form_of
from farebox.call.handling import Call
from farebox.domain.errors import FounderError
from farebox.web.inputs import NOT_MEANT, first_sentence
from farebox.web.signature import Signature, body_of
from farebox.web.upload import takes_file

BRACES: Final = "to write a brace itself, double it: {{ or }}"


def prompted(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """A function that takes the call first, asks the model with the docstring's second part, and answers with that.

    Raises:
        FounderError: the template and the parameters do not belong together, or the function has a body.
    """
    if not all(_is_placeholder(statement) for statement in body_of(function)):
        raise FounderError(
            f"{signature.name} has a body, but @app.prompt does not run it; take it out, or use @app.paid."
        )
    pieces = _pieces(signature)
    form = inspect.signature(function)
    out = signature.returns

    @functools.wraps(function)
    def ask(call: Call, *args: Any, **fields: Any) -> Any:  # noqa: ANN401  # as the function has them
        bound = form.bind(*args, **fields)
        bound.apply_defaults()
        text = "".join(before + (_written(bound.arguments[name]) if name else "") for before, name in pieces)
        return call.stream(text) if signature.is_stream else call.ask(text, out)

    return ask


def _pieces(signature: Signature) -> list[tuple[str, str | None]]:
    """The template in pieces of text, each with the name of the field behind it."""
    name, parameters = signature.name, signature.parameters
    if not signature.rest:
        raise FounderError(
            f"{name} has no prompt; write it into the docstring, after an empty line: Write a haiku about {{topic}}."
        )
    try:
        found = list(Formatter().parse(signature.rest))
    except ValueError as error:
        raise FounderError(f"{name}: its prompt cannot be read ({error}); {BRACES}.") from None
    pieces: list[tuple[str, str | None]] = []
    for before, field, form, conversion in found:
        if field is not None and (field not in parameters or form or conversion):
            known = ", ".join(f"{{{known}}}" for known in parameters) or "no field"
            written = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise FounderError(f"{name}: its prompt has {{{written}}}, and it takes {known}; {BRACES}.")
        pieces.append((before, field))
    for field, parameter in parameters.items():
        if takes_file(parameter.annotation):
            raise FounderError(f"{name} takes a file, which a prompt cannot hold; use @app.paid.")
        if field not in {used for _, used in pieces}:
            raise FounderError(f"{name} takes {field}, and its prompt does not use it; write {{{field}}} into it.")
    _check_returns(signature)
    return pieces


def _is_placeholder(statement: ast.stmt) -> bool:
    """Whether a function that is never run may have it: a docstring, `...`, `pass` or a `raise`."""
    is_value = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_value or isinstance(statement, ast.Pass | ast.Raise)


def _check_returns(signature: Signature) -> None:
    name, returns = signature.name, signature.returns
    if signature.is_stream:
        if returns is not str:
            raise FounderError(f"{name} streams its model's words; write after its arrow: AsyncIterator[str]")
        return
    if returns is type(None):
        raise FounderError(f"{name} returns None, but its answer is what the model says; write after its arrow: str")
    try:
        form_of(returns)
    except NOT_MEANT as error:
        reason = first_sentence(error)
        raise FounderError(f"{name}: a model cannot answer with what it returns: {reason}") from None


def _written(value: object) -> str:
    """A value as it stands in a prompt."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()
