"""Webhooks that are not Stripe's: forged, altered, too old, of the future, or odd."""

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import stripe

from tests.services.load import Caller, Request

ODD_HEADERS: Final = (
    "",
    "t=",
    "t=1",
    ",",
    ",,=",
    "t=1,v1=",
    "t=x,v1=00",
    "v1=\xe9",
    "t=1,t=2,v1=00",
    "t=-1,v1=00",
    "null",
)
AT_ONCE: Final = 20
FUTURE_SECONDS: Final = 400  # 301 would be 300 by the time it is read


def event_body(event_id: str, **more: object) -> str:
    """An event as Stripe tells of one."""
    return json.dumps(
        {"id": event_id, "object": "event", "type": "invoice.paid", "created": 5, "livemode": False,
         "data": {"object": {"id": "in_1", "object": "invoice", **more}}}
    )  # fmt: skip


def signed(body: str, secret: str, at: float | None = None) -> str:
    """The header that Stripe would send with it."""
    made: str = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time() if at is None else at))
    return made


def forged(made: random.Random, text: str, secret: str) -> tuple[bytes, str]:
    """A body and its header: signed, and then changed, or signed by somebody else, or at another time."""
    body, signature = text.encode(), signed(text, secret)
    stamp, _, mac = signature.partition(",v1=")
    match made.randrange(10):
        case 0:
            place = made.randrange(len(body))
            body = body[:place] + bytes([body[place] ^ (1 << made.randrange(8))]) + body[place + 1 :]
        case 1:
            signature = signed(text, f"whsec_{made.random()}")
        case 2:
            place = made.randrange(len(mac))
            signature = f"{stamp},v1={mac[:place]}{'0' if mac[place] != '0' else '1'}{mac[place + 1 :]}"
        case 3:
            signature = signed(text, secret, time.time() - made.choice((301, 302, made.randint(303, 10**6))))
        case 4:
            ahead = made.choice((FUTURE_SECONDS, made.randint(FUTURE_SECONDS, 10**6)))
            signature = signed(text, secret, math.ceil(time.time()) + ahead)
        case 5:
            signature = signature.replace("v1=", made.choice(("v0=", "v2=", "V1=", "v1:")))
        case 6:
            signature = made.choice((*ODD_HEADERS, stamp, f"v1={mac}", signature.encode("utf-16").hex()))
        case 7:
            later = int(time.time()) + made.randint(1, 100)
            signature = f"t={later},v1={mac}"
        case 8:
            others = ",".join(f"v1={made.randbytes(32).hex()}" for _ in range(made.randint(2, 5)))
            signature = f"{stamp},{others}"
        case _:
            odd = (text.encode("utf-16"), text.encode("utf-8-sig"), body[:-1], b"", body + b"\x00", body + b"\xff")
            body = made.choice((*odd, body + b" ", body + b"\n", body + b"{}"))
    return body, signature


def post_all(url: str, made: Iterable[tuple[bytes, str | None]]) -> Counter[int | None]:
    """Send bodies with their headers, by some callers at once; how often each status was answered."""
    return asyncio.run(_post_all(f"{url}/stripe/webhook", iter(made)))


async def _post_all(url: str, made: Iterator[tuple[bytes, str | None]]) -> Counter[int | None]:
    statuses: Counter[int | None] = Counter()

    async def send_on() -> None:
        caller = Caller()
        for body, signature in made:
            headers = {} if signature is None else {"stripe-signature": signature}
            reply = await caller.send(Request(url, body, headers))
            assert reply.error is None, reply.error
            statuses[reply.status] += 1
        caller.close()

    await asyncio.gather(*(send_on() for _ in range(AT_ONCE)))
    return statuses
