"""The call as a founder's handler sees it: ask the model, stream from it, or hand an OpenAI client to a library."""

import logging
from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast, overload

from pydantic import ValidationError
from pydantic_core import to_json

from farebox.call.form import form_of
from farebox.call.metered import MeteredStream
from farebox.call.service import Chain
from farebox.call.wire import Question, Wire
from farebox.domain.apikey import Mode
from farebox.domain.dialects import CHAT, Dialect
from farebox.domain.dialects.base import JsonObject, request_tokens_max
from farebox.domain.errors import (
    CallTooLarge,
    InvalidRequest,
    ModelNotFound,
    UpstreamNoMessage,
    UpstreamUnfit,
)
from farebox.domain.ledger import Spent

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger("farebox.handler")

Out = TypeVar("Out")
Messages = Sequence[Mapping[str, Any]]

NO_MESSAGE: Final = "The model returned no message. Nothing was charged; change the request."
UNFIT: Final = "The model's answer did not have the right form. Nothing was charged; try again."
FAULTS_MAX: Final = 10  # a wrong answer may be wrong in a thousand places


class Choice(NamedTuple):
    """The models that a handler may ask: a chain, or one by name. If `by_name` is None, the chain takes any name."""

    chain: Chain
    by_name: Mapping[str, Chain] | None = None

    def of(self, name: object) -> Chain:
        """The models that answer for a name.

        Raises:
            ModelNotFound: the founder's file does not list it.
        """
        if self.chain and (name is None or self.by_name is None):
            return self.chain
        found = (self.by_name or {}).get(name) if isinstance(name, str) else None
        if not found:
            listed = ", ".join(known for known in self.by_name or () if ":" not in known)
            here = f"Your file lists: {listed}." if listed else "Your file lists none for this."
            raise ModelNotFound(f"There is no model {str(name)[:100]!r} here. {here}", param="model")
        return found


class Account(NamedTuple):
    """Who calls, and the calls left after this one; None where the plan does not limit them."""

    id: str
    plan: str
    mode: Mode
    calls_remaining: int | None


class Call:
    """One paid call, as its handler sees it. All that the handler asks of models is paid from this call's hold."""

    def __init__(self, wire: Wire, models: Choice, embedding: Choice) -> None:
        wire.is_handled = True
        self._wire = wire
        self._models = models
        self._embedding = embedding
        self._client: AsyncOpenAI | None = None
        self.id: str = wire.admitted.hold.call_id
        """The answer's `x-request-id`."""
        self.log = _CallLog(log, {"call": self.id})
        """A log whose lines begin with the call's id."""

    @property
    def account(self) -> Account:
        hold, standing = self._wire.admitted
        return Account(hold.account_id, standing.plan.name, hold.mode, standing.calls_left)

    @property
    def spent(self) -> Spent:
        """What the models used so far: `input_tokens`, `output_tokens`, `cost_nanodollars`."""
        return self._wire.spent

    @property
    def openai(self) -> "AsyncOpenAI":
        """A genuine OpenAI client. All requests through it, from any library, belong to this call."""
        if self._client is None:
            make = self._wire.service.openai_client
            assert make is not None, "wiring gives one"
            self._client = make(self._wire, self._models, self._embedding)
        return self._client

    @overload
    async def ask(
        self, prompt: str | Messages, out: None = None, *,
        system: str | None = None, max_tokens: int | None = None, model: str | None = None, **options: object,
    ) -> str: ...  # fmt: skip
    @overload
    async def ask(
        self, prompt: str | Messages, out: type[Out], *,
        system: str | None = None, max_tokens: int | None = None, model: str | None = None, **options: object,
    ) -> Out: ...  # fmt: skip
    async def ask(
        self, prompt: str | Messages, out: type[Out] | None = None, *,
        system: str | None = None, max_tokens: int | None = None, model: str | None = None, **options: object,
    ) -> str | Out:  # fmt: skip
        """Ask the model, and wait for its whole answer.

        Args:
            prompt: what is asked, or the whole conversation as OpenAI's messages.
            out: a type, such as a pydantic model: the answer is an object of it. Without one it is text.
            system: the system message.
            max_tokens: the longest answer; the plan's own limit holds in any case.
            model: another one of the endpoint's models, by its name.
            options: anything else that a chat completion takes, such as `temperature=0`.

        Raises:
            CallTooLarge: it does not fit into what is left of the call's hold. It was not sent.
            UpstreamError: no model answered, or without a message, or twice not in the form of `out`.
        """
        request = _chat(prompt, system, max_tokens, options)
        if out is None or out is str:
            return await self._text(request, model)
        form = form_of(out)
        request["response_format"] = form.response_format
        said = await self._text(request, model)
        try:
            return cast("Out", form.read(said))
        except ValidationError as error:
            request["messages"] = [*request["messages"], *_again(said, error)]
        try:
            return cast("Out", form.read(await self._text(request, model)))
        except (ValidationError, CallTooLarge) as error:
            self.log.warning("the model did not keep to the form: %s", _kinds(error))
            raise UpstreamUnfit(UNFIT) from None

    async def stream(
        self, prompt: str | Messages, *,
        system: str | None = None, max_tokens: int | None = None, model: str | None = None, **options: object,
    ) -> AsyncGenerator[str]:  # fmt: skip
        """Ask the model, and take its answer piece by piece, as it comes. The arguments are those of `ask`.

        Raises:
            CallTooLarge: it does not fit into what is left of the call's hold. It was not sent.
            UpstreamError: no model answered, or it broke off.
        """
        request = _chat(prompt, system, max_tokens, options)
        is_silent = True
        async with MeteredStream(self._wire, self._question(request, model)) as stream:
            async for _, text in stream:
                if text:
                    is_silent = False
                    yield text
        if is_silent:
            raise UpstreamNoMessage(NO_MESSAGE)

    async def _text(self, request: JsonObject, model: str | None) -> str:
        text = (await self._wire.ask(self._question(request, model))).completion.text
        if text is None:
            raise UpstreamNoMessage(NO_MESSAGE)
        return text

    def _question(self, request: JsonObject, model: str | None) -> Question:
        try:
            return own_question(CHAT, request, self._models.of(model))
        except (InvalidRequest, ModelNotFound) as error:
            # The handler's mistake and not its customer's, who never sent such a field.
            raise ValueError(error.detail) from None


class _CallLog(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        return f"call {(self.extra or {})['call']}: {msg}", kwargs


def own_question(dialect: Dialect, request: JsonObject, chain: Chain) -> Question:
    """A handler's question to a model, with the most input that it can come to.

    Raises:
        InvalidRequest: it has costs that token counts do not show, or a limit that is not a whole number.
    """
    dialect.check(request)
    return Question.of(dialect, request, chain, request_tokens_max(len(to_json(request)), request))


def _chat(prompt: str | Messages, system: str | None, max_tokens: int | None, options: Mapping[str, Any]) -> JsonObject:
    messages: list[Mapping[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    messages += [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    request: JsonObject = {**options, "messages": messages}
    if max_tokens is not None:
        request["max_tokens"] = max_tokens
    return request


def _kinds(error: ValidationError | CallTooLarge) -> str:
    """The kinds of faults only: their messages quote the answer's words, and their places its keys."""
    if isinstance(error, CallTooLarge):
        return error.detail
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return ", ".join(fault["type"] for fault in faults[:FAULTS_MAX])


def _again(said: str, error: ValidationError) -> Messages:
    """The messages that tell a model how its answer does not fit the form."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the answer'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:FAULTS_MAX]
    ]
    told = f"That does not fit the form:\n{chr(10).join(faults)}\nAnswer again, with the whole JSON and nothing else."
    return [{"role": "assistant", "content": said}, {"role": "user", "content": told}]
