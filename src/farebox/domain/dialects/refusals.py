"""What no dialect passes on: what has costs that token counts do not show, or refers to more than the request."""

from collections.abc import Mapping
from typing import Any, Final

from farebox.domain.dialects.base import HOLDERS, IMAGE_TYPES, TEXT_TYPES, JsonObject, parts_of
from farebox.domain.errors import InvalidRequest

# Tuples, not sets: where a type should be, a request may hold a list, which is not hashable.
TOOL_TYPES: Final = ("function", "custom")
CACHE_MARKS: Final = ("cache_control", "prompt_cache_breakpoint", "prompt_cache_options")
CACHE_OPTIONS: Final = frozenset({"mode", "ttl"})
CACHE_TTLS: Final = (None, "5m", "30m")  # the lifetimes that providers use by default
URL_HEAD_CHARS: Final = 64
KEPT: Final = "what the provider keeps belongs to all customers together, and its size is not known."
SEARCHES: Final = "the provider bills searches separately."
FOUNDERS: Final = "the founder chooses the models."
# One list for all dialects: providers and gateways take a field of the one on the endpoint of the other.
UNMETERED: Final = {
    "audio": "audio is billed at other prices.",
    "web_search_options": SEARCHES,
    "search_parameters": SEARCHES,
    "enable_search": SEARCHES,
    "best_of": "it makes answers that cost money and are not shown.",
    "prediction": "what the model does not take of it is billed as output, above any limit.",
    "access_programs": "what the provider allows its own customer is not for others.",
    "background": "it would go on after the call.",
    "background_options": "it would go on after the call.",
    "deferred": "the answer would come after the call.",
    "context_management": "the provider would write summaries beside the answer.",
    "previous_response_id": KEPT,
    "conversation": KEPT,
    "prompt": KEPT,
    "speed": "other speeds have other prices.",
    "extra_body": "what a provider has of its own cannot be metered.",
    "plugins": "the provider bills them separately.",
    "preset": FOUNDERS,
    "models": FOUNDERS,
    "route": FOUNDERS,
    "provider": "the founder chooses the provider.",
}
COSTLY: Final = frozenset({*UNMETERED, "tools", "modalities", "service_tier"})
PART_TYPES: Final = (
    *TEXT_TYPES, *IMAGE_TYPES, "input_text", "refusal", "thinking", "reasoning_text", "summary_text",
)  # fmt: skip


def refuse_costly(request: JsonObject, names: frozenset[str]) -> None:
    """Refuse fields that cost money which no token count shows, or reach for what is not in the request.

    Args:
        request: what is asked.
        names: the fields that a dialect reads or refuses; other spellings of them are refused.

    Raises:
        InvalidRequest: names the first such field that is set, if only to an empty object.
    """
    refuse_other_spellings(request, names)
    if not UNMETERED.keys().isdisjoint(request):
        for name, why in UNMETERED.items():
            if request.get(name) not in (None, False):
                raise InvalidRequest(f"{name} is not offered here: {why} Leave it out.", param=name)
    refuse_tools(request.get("tools"))
    if request.get("service_tier") not in (None, "auto", "default"):
        raise InvalidRequest(
            "service_tier is not offered here: other tiers have other prices. Leave it out.", param="service_tier"
        )
    if request.get("modalities") not in (None, [], ["text"]):
        raise InvalidRequest(
            "modalities has to be ['text'] here: sound and images have other prices.", param="modalities"
        )


def refuse_other_spellings(request: Mapping[str, Any], names: frozenset[str]) -> None:
    """Refuse "Model" beside "model": providers written in Go take the one for the other.

    Raises:
        InvalidRequest: a name of another spelling.
    """
    for name in request:
        if name not in names and name.casefold() in names:
            raise InvalidRequest(f"{name} is not a field. Write {name.casefold()}.", param=name)


def refuse_lasting(request: JsonObject, *lists: object) -> None:
    """Refuse to have things kept in a provider's cache for longer than by default, which costs more.

    Args:
        request: what is asked.
        lists: its messages and tools, whose parts can ask to be kept as well.

    Raises:
        InvalidRequest: something is to be kept for longer, or the cache to be filled without an answer.
    """
    options = request.get("prompt_cache_options")
    if options is not None and not (isinstance(options, dict) and options.keys() <= CACHE_OPTIONS):
        raise InvalidRequest(
            f"Of prompt_cache_options, {' and '.join(sorted(CACHE_OPTIONS))} are offered here. Leave the rest out.",
            param="prompt_cache_options",
        )
    marked = [request, {"prompt_cache_options": options}]
    for one in (one for found in lists if isinstance(found, list) for one in found if isinstance(one, dict)):
        marked += [one, *(inner for inner in one.values() if isinstance(inner, dict)), *parts_of([one])]
    for one in marked:
        for name in CACHE_MARKS:
            mark = one.get(name)
            ttl = mark.get("ttl") if isinstance(mark, dict) else None
            if ttl not in CACHE_TTLS:
                raise InvalidRequest(
                    f"A {name} of {str(ttl)[:100]!r} is not offered here: what is kept for longer costs more. "
                    "Leave its ttl out.", param=name,
                )  # fmt: skip


def refuse_tools(tools: object) -> None:
    """Refuse the tools that a provider runs, and bills, by itself.

    Raises:
        InvalidRequest: a tool that is not the caller's own.
    """
    if tools is not None and not isinstance(tools, list):
        raise InvalidRequest("tools has to be a list of tools.", param="tools")
    for tool in tools or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in TOOL_TYPES:
            raise InvalidRequest(
                f"The tool type {str(kind)[:100]!r} is not offered here: the provider bills it separately. Use tools "
                f"of your own, of type {' or '.join(map(repr, TOOL_TYPES))}.", param="tools",
            )  # fmt: skip


def refuse_parts(messages: object, param: str) -> None:
    """Refuse all but texts and images: how many tokens a file, a sound or a film has is not known beforehand.

    Raises:
        InvalidRequest: a message that is not made of texts and images.
    """
    for message in messages if isinstance(messages, list) else ():
        for holder in HOLDERS:
            parts = message.get(holder) if isinstance(message, dict) else None
            if parts is None or isinstance(parts, str):
                continue
            for part in parts if isinstance(parts, list) else [None]:
                fields = part if isinstance(part, dict) else {}
                if fields.get("type") not in PART_TYPES or "file_id" in fields:
                    raise InvalidRequest(
                        f"A {holder} of type {str(fields.get('type'))[:100]!r} is not offered here: its tokens cannot "
                        "be counted in advance. Send texts, and images by their URL.", param=param,
                    )  # fmt: skip
                if _is_data_of_another_kind(fields.get("image_url")):
                    raise InvalidRequest(
                        "An image_url with data that is not an image is not offered here: its tokens cannot be "
                        "counted in advance. Send images, as data:image/png;base64,….", param=param,
                    )  # fmt: skip


def _is_data_of_another_kind(image_url: object) -> bool:
    """Whether a data URL holds no image: some providers take a document or a film there."""
    url = image_url.get("url") if isinstance(image_url, dict) else image_url
    head = url[:URL_HEAD_CHARS].strip().lower() if isinstance(url, str) else ""
    return head.startswith("data:") and not head.startswith("data:image/")
