"""What the fake provider says: text and token counts that a test can work out too, in OpenAI's JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from tests.services.upstream.behaviour import Behaviour

# Three letters and a space are one token, so that a text cut at any token has the tokens it should have.
WORDS = ("and", "dog", "fun", "joy", "now", "our", "run", "sun", "the", "you")
BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_REQUEST = 3
HUGE_BODY_BYTES = 5 * 1024 * 1024

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-test***."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Region not supported"),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for gpt-4o-mini on requests per min (RPM)."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An honest answer to a request."""

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str


def count_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def expected_answer(body: Mapping[str, Any]) -> Answer:
    """What the provider answers to this request body when nothing else is programmed."""
    texts = message_texts(body)
    limit = output_limit(body)
    wanted = 16 + crc32("\n".join(texts).encode()) % 48
    tokens = wanted if limit is None else min(wanted, limit)
    return Answer(
        text=" ".join(WORDS[(wanted + i) % len(WORDS)] for i in range(tokens)),
        input_tokens=TOKENS_PER_REQUEST + sum(TOKENS_PER_MESSAGE + count_tokens(text) for text in texts),
        output_tokens=tokens,
        finish_reason="stop" if tokens == wanted else "length",
    )


def message_texts(body: Mapping[str, Any]) -> list[str]:
    return [_text(message.get("content")) for message in body.get("messages", ())]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text", "") for part in parts)


def output_limit(body: Mapping[str, Any]) -> int | None:
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    return limit if isinstance(limit, int) else None


def programmed_answer(body: Mapping[str, Any], how: Behaviour) -> Answer:
    honest = expected_answer(body)
    text = honest.text if how.text is None else how.text
    if how.fault == "empty_content":
        text = ""
    return Answer(
        text=text,
        input_tokens=honest.input_tokens,
        output_tokens=honest.output_tokens if how.text is None else count_tokens(text),
        finish_reason=how.finish_reason or honest.finish_reason,
    )


def usage(answer: Answer, how: Behaviour) -> dict[str, Any] | None:
    if how.fault == "null_usage":
        return None
    figures: dict[str, Any] = {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "cached_tokens": 0,
        **how.usage,
    }
    return {
        "prompt_tokens": figures["prompt_tokens"],
        "completion_tokens": figures["completion_tokens"],
        "total_tokens": figures.get("total_tokens", _sum(figures)),
        "prompt_tokens_details": {"cached_tokens": figures["cached_tokens"], "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _sum(figures: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as false as its parts
    parts = [figures["prompt_tokens"], figures["completion_tokens"]]
    return sum(parts) if all(isinstance(part, int | float) for part in parts) else parts[-1]


def completion(number: int, model: str, answer: Answer, how: Behaviour) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if how.fault == "null_content":
        message |= {"content": None, "refusal": "I'm sorry, I can't assist with that request."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    body: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000 + number,
        "model": model,
        "choices": [choice],
        "usage": usage(answer, how),
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }
    return _damaged(body, how)


def _damaged(body: dict[str, Any], how: Behaviour) -> dict[str, Any]:
    match how.fault:
        case "no_choices":
            del body["choices"]
        case "empty_choices":
            body["choices"] = []
        case "no_message":
            del body["choices"][0]["message"]
        case "no_usage":
            del body["usage"]
        case "huge_body":
            body["choices"][0]["message"]["content"] = "dog " * (HUGE_BODY_BYTES // 4)
        case _:
            pass
    return body


def encoded(body: dict[str, Any], how: Behaviour) -> bytes:
    whole = json.dumps(body).encode()
    match how.fault:
        case "bad_json":
            return whole[:-20]
        case "not_object":
            return b"[" + whole + b"]"
        case _:
            return whole


def chunks(number: int, model: str, answer: Answer, how: Behaviour, *, with_usage: bool) -> Sequence[bytes]:
    """A stream's events: the role, one event a token, the finish, the usage if asked for, and the end."""
    base = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000 + number,
        "model": model,
        "system_fingerprint": "fp_fake",
    }
    if with_usage and how.fault != "no_usage":
        base["usage"] = None

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(json.dumps({**base, "choices": [choice]}))

    events = [event({"role": "assistant", "content": "", "refusal": None})]
    events += [event({"content": token}) for token in tokens(answer.text)]
    events.append(event({}, answer.finish_reason))
    if with_usage and how.fault != "no_usage":
        events.append(sse(json.dumps({**base, "choices": [], "usage": usage(answer, how)})))
    return [*events, sse("[DONE]")]


def tokens(text: str) -> list[str]:
    """The text in pieces of one token; exact for the provider's own words."""
    return [text[i : i + BYTES_PER_TOKEN] for i in range(0, len(text), BYTES_PER_TOKEN)]


def sse(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def error(how: Behaviour) -> dict[str, Any]:
    kind, code, message = ERRORS.get(how.status, ("server_error", None, "Something went wrong."))
    if how.error_code == "insufficient_quota":
        kind, message = "insufficient_quota", "You exceeded your current quota, please check your plan."
    return {"error": {"message": message, "type": kind, "param": None, "code": how.error_code or code}}


def models() -> dict[str, Any]:
    names = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini")
    listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in names]
    return {"object": "list", "data": listed}
