"""Forms as Stripe's clients write them: `items[0][price]=price_1&metadata[a]=b&expand[]=customer`."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from farebox.sandbox.stripe.things import Thing


def parsed(text: str) -> Thing:
    """The nested values of a form; each leaf is a string."""
    return nested(parse_qsl(text, keep_blank_values=True))


def nested(pairs: Iterable[tuple[str, str]]) -> Thing:
    root: Thing = {}
    for name, value in pairs:
        first, *rest = [name.split("[", 1)[0], *re.findall(r"\[([^\]]*)\]", name)]
        place = root
        for key, following in zip([first, *rest], rest, strict=False):
            place = place.setdefault(key or str(len(place)), {})
            assert isinstance(place, dict), f"{name}: a value and a group of one name before {following}"
        last = rest[-1] if rest else first
        place[last or str(len(place))] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    """Turn groups whose keys are all numbers into lists."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(inner) for key, inner in value.items()}
