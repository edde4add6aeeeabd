"""A founder's function, read once: what it takes, what it gives, and every mistake in it told in a sentence."""

import ast
import inspect
import re
import textwrap
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from farebox.call.handling import Call
from farebox.domain.errors import FounderError

RESERVED: Final = frozenset({"generate", "usage", "models", "embeddings", "responses", "chat"})
CALL_NAMES: Final = frozenset({"call", "c", "ctx"})
STREAMS: Final = (AsyncIterator, AsyncIterable, AsyncGenerator)
_EMPTY: Final = inspect.Parameter.empty
_STARRED: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Parameter(NamedTuple):
    """One field of the request; `...` as its default means that it has none."""

    annotation: Any
    default: Any


class Signature(NamedTuple):
    """The facts that a function says about itself."""

    name: str
    place: str
    """The file and line where it stands."""
    summary: str
    description: str
    rest: str
    """The docstring after its first empty line."""
    parameters: Mapping[str, Parameter]
    returns: Any
    """The type of the answer, or of each item of a stream."""
    is_stream: bool


def signature_of(function: Callable[..., Any], *, takes_call: bool) -> Signature:
    """Read a founder's function.

    Raises:
        FounderError: it cannot be an endpoint.
    """
    name = _name(function)
    example = f"async def {name}(call, topic: str) -> str" if takes_call else f"async def {name}(topic: str) -> str"
    is_generator = inspect.isasyncgenfunction(function)
    if takes_call and not (inspect.iscoroutinefunction(function) or is_generator):
        raise FounderError(f"{name} is not async; write it as: {example}")
    found = list(inspect.signature(function).parameters.values())
    hints = _hints(function, name)
    if takes_call:
        _check_call(name, found, hints, example)
        found = found[1:]
    parameters = {parameter.name: _parameter(name, parameter, hints) for parameter in found}
    if "return" not in hints:
        raise FounderError(f"{name} does not say what it returns; write it after an arrow, as in: {example}")
    returns, is_stream = _returns(name, hints["return"], is_generator=is_generator)
    if is_stream and takes_call and not is_generator and gives_nothing(function, is_stream=True):
        raise FounderError(f"{name} is declared as a stream, but neither yields nor returns one; yield its pieces.")
    head, rest = _docstring(function, name)
    summary = head.partition("\n")[0].rstrip(".")
    return Signature(name, place_of(function), summary, head, rest, parameters, returns, is_stream)


def place_of(function: Callable[..., Any]) -> str:
    """The file and line of a function, as the founder is told them."""
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}, line {code.co_firstlineno}"


def body_of(function: Callable[..., Any]) -> list[ast.stmt]:
    """The statements of a function, its docstring first; empty where its source cannot be read."""
    try:
        [found] = ast.parse(textwrap.dedent(inspect.getsource(function.__code__))).body
    except (OSError, SyntaxError, ValueError):
        return []
    body: list[ast.stmt] = getattr(found, "body", [])
    return body


def gives_nothing(function: Callable[..., Any], *, is_stream: bool = False) -> bool:
    """Whether a function returns no value anywhere, or a stream only constants: it was given no body, or no `return`.

    One with a `raise` may refuse every call, and so may what it calls at its end; or it is still to be written.
    """
    body = body_of(function)
    nodes = [node for statement in body for node in ast.walk(statement)]
    values = [node.value for node in nodes if isinstance(node, ast.Return) and node.value is not None]
    constants = [value.value for value in values if isinstance(value, ast.Constant)]
    is_empty = len(constants) == len(values) and (is_stream or set(constants) <= {None})
    if not body or not is_empty or isinstance(body[-1], ast.Raise):
        return False
    return is_stream or not (_is_call(body[-1]) or any(isinstance(node, ast.Raise) for node in nodes))


def _is_call(statement: ast.stmt) -> bool:
    """Whether it only calls something; what is awaited, as the model's answer, is more."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)


def _name(function: object) -> str:
    if not inspect.isfunction(function):
        raise FounderError(f"{function!r} is not a function; put the decorator right above an async def.")
    name = function.__name__
    if name.startswith("_"):
        raise FounderError(f"{name} begins with '_'; its name becomes its address, as in /v1/tagline, so rename it.")
    if name in RESERVED:
        raise FounderError(
            f"{name} cannot be the name of an endpoint, as it is kept for Farebox's own, open or closed; rename it."
        )
    if not name.isascii():
        raise FounderError(f"{name} cannot be the name of an endpoint, as it has other letters than a to z; rename it.")
    return name


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise FounderError(f"{name} has an unknown annotation: {error}. Import it, or define it above.") from None
    except (TypeError, SyntaxError, AttributeError) as error:
        raise FounderError(f"{name} has an annotation that cannot be read: {error}.") from None


def _check_call(name: str, found: list[inspect.Parameter], hints: Mapping[str, Any], example: str) -> None:
    first = found[0] if found else None
    if first is None or first.kind in (*_STARRED, inspect.Parameter.KEYWORD_ONLY):
        raise FounderError(f"{name} does not take the call as its first parameter; write it as: {example}")
    if first.name == "self":
        raise FounderError(f"{name} is a method; write it as a function that takes the call first: {example}")
    # Without an annotation only its name can tell it from a field whose type is forgotten, as in f(topic).
    is_named = first.name in CALL_NAMES or first.name.startswith("_")
    if hints.get(first.name, Call if is_named else None) not in (Call, Any):
        raise FounderError(f"{name} has {first.name} as its first parameter; that has to be the call: {example}")


def _parameter(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    if parameter.kind in _STARRED:
        raise FounderError(f"{name} takes *{parameter.name}; name each field that a customer can send.")
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise FounderError(f"{name} takes {parameter.name} by position only; leave the '/' out.")
    if parameter.name == "call" or not parameter.name.isascii():
        raise FounderError(f"{name} has a parameter {parameter.name!r}, which cannot be a field; rename it.")
    if parameter.name not in hints:
        raise FounderError(f"{name} does not say what {parameter.name} is; write it as: {parameter.name}: str")
    return Parameter(hints[parameter.name], ... if parameter.default is _EMPTY else parameter.default)


def _returns(name: str, hint: Any, *, is_generator: bool) -> tuple[Any, bool]:  # noqa: ANN401  # a type
    if (get_origin(hint) or hint) in STREAMS:
        return (get_args(hint) or (str,))[0], True
    if is_generator:
        raise FounderError(f"{name} yields, so it returns a stream; write after its arrow: AsyncIterator[str]")
    return hint, False


def _docstring(function: Callable[..., Any], name: str) -> tuple[str, str]:
    text = inspect.getdoc(function) or ""
    head, *rest = re.split(r"\n[ \t]*\n", text.strip(), maxsplit=1)
    if not head:
        raise FounderError(
            f'{name} has no docstring; its first line tells your customers what it does: """Write a tagline."""'
        )
    return head, rest[0].strip() if rest else ""
