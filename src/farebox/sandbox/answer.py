"""What the sandbox answers: words, a value of a JSON schema, or a call of a tool."""

import json
from collections.abc import Callable
from typing import NamedTuple

from farebox.sandbox.example import example
from farebox.sandbox.request import BadRequest, Wish
from farebox.sandbox.words import TOKENS_DEFAULT, tokens_of, words_for

Say = Callable[[], str | None]
"""Gives the next answer that a test has written; None for the sandbox's own words."""


def nothing_said() -> None:
    """Say nothing: the sandbox answers in its own words."""


class Answer(NamedTuple):
    """The tokens that were written, and whether the limit cut them."""

    tokens: list[str]
    is_cut: bool

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def answered(wish: Wish, say: Say, number: int = 1) -> tuple[Wish, list[Answer]]:
    """The wish, and as many answers to it as asked for. A test's answer is one text, and no call of a tool.

    Raises:
        BadRequest: the schema allows none, or only a very large one.
    """
    said = say()
    if said is not None:
        return wish._replace(tool=None), [Answer(tokens_of(said), is_cut=False)]
    return wish, _answers_to(wish, number)


def _answers_to(wish: Wish, number: int) -> list[Answer]:
    if wish.tool is not None and wish.tool.kind == "function":
        return [_limited(_json(wish.tool.parameters, "tools"), wish.tokens_max)] * number
    if wish.tool is None and wish.is_json:
        return [_limited(_json(wish.schema, wish.format_name), wish.tokens_max)] * number
    return [_limited(words_for(wish.prompt, nth), wish.tokens_max or TOKENS_DEFAULT) for nth in range(number)]


def _json(schema: object, param: str) -> str:
    try:
        return json.dumps(example(schema), ensure_ascii=False)
    except ValueError as error:
        raise BadRequest(str(error), param) from error


def _limited(text: str, tokens_max: int | None) -> Answer:
    tokens = tokens_of(text)
    return Answer(tokens[:tokens_max], tokens_max is not None and len(tokens) > tokens_max)
