"""Which cookies of a request count: those that surely come from this very host."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

Raw = tuple[bytes, bytes]
OURS: Final = re.compile(rb"__Host-[a-z]+")
"""The names of all our cookies. Browsers take one of them from this very host alone, over https or on this machine."""


def with_own_cookies(headers: Iterable[Raw]) -> list[Raw]:
    """The headers of a request, without all cookies but ours.

    Another host of the domain can have a browser send what looks like ours: Starlette strips bytes as 0xA0 off a name
    and unites it with ours, and some browsers let a name come twice. So a name counts only as it is, and only once.
    """
    cookies: list[Raw] = []
    others: list[Raw] = []
    for name, value in headers:
        if name == b"cookie":
            cookies += (_parted(each) for each in value.split(b";") if b"=" in each)
        else:
            others.append((name, value))
    times = Counter(name for name, _ in cookies)
    own = [name + b"=" + value for name, value in cookies if times[name] == 1 and OURS.fullmatch(name)]
    return [*others, (b"cookie", b"; ".join(own))] if own else others


def _parted(cookie: bytes) -> Raw:
    """Its name and its value. Browsers take spaces and tabs off a name, and nothing else."""
    name, _, value = cookie.partition(b"=")
    return name.strip(b" \t"), value.strip(b" \t")
