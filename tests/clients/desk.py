"""Where a client is sent to the product, and its story is compared with the provider's and the ledger's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tests.api.shop import Shop
from tests.clients.program import EMBEDDING_MODEL, MODEL, Program
from tests.clients.witness import Witness
from tests.services.load import Request, fire_all
from tests.services.upstream import CHAT, EMBEDDINGS, RESPONSES, Call, FakeUpstream

APP: Final = f"""
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:{MODEL}",
    embedding_model="openai:{EMBEDDING_MODEL}",
    prices={{"{MODEL}": (0.15, 0.60), "{EMBEDDING_MODEL}": (0.02, 0)}},
    plans=[
        Plan("open"),
        Plan("burst", calls=1_000, burst="5/2s"),
        Plan("slower", calls=1_000, burst="5/5s"),
        Plan("one", calls=1),
    ],
)
"""
BURST: Final = 5
USAGE_NAMES: Final = {
    CHAT: ("prompt_tokens", "completion_tokens"),
    RESPONSES: ("input_tokens", "output_tokens"),
    EMBEDDINGS: ("prompt_tokens", "no tokens"),
}

Row = tuple[str, int, int, int]


class Programs(Protocol):
    def __getitem__(self, client: str) -> Program: ...


@dataclass(frozen=True, slots=True)
class Desk:
    shop: Shop
    witness: Witness
    upstream: FakeUpstream
    programs: Programs

    def ask(self, client: str, scenario: str, key: str) -> dict[str, Any]:
        prompt = "Is it warm in Lima? [[tool:temperature]]" if "tools" in scenario else "Say hello"
        return self.programs[client].do(scenario, f"{self.witness.url}/v1", key, prompt)

    def take_the_burst(self, key: str) -> None:
        """All that a burst allows, at once and unwitnessed. On the plan 'slower' a call comes back after a second."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello"}]}
        fire_all([Request(f"{self.witness.url}/v1/chat/completions", body, {"x-api-key": key})] * BURST)
        self.witness.seen.clear()

    def calls(self) -> list[Call]:
        """What reached the provider, on any of its paths."""
        found = [call for path in USAGE_NAMES for call in self.upstream.calls(path=path)]
        return sorted(found, key=lambda call: call.number)

    def rows(self, key: str) -> list[Row]:
        return [tuple(row) for row in self.shop.records("state, calls, input_tokens, output_tokens", key)]

    def assert_ledger(self, key: str) -> list[Row]:
        """One row for each call that reached the provider, with the provider's own figures; the rows."""
        rows = self.rows(key)
        assert sorted(rows) == sorted(("posted", 1, *tokens(call)) for call in self.calls())
        assert self.shop.held() == 0
        return rows


def tokens(call: Call) -> tuple[int, int]:
    names: Sequence[str] = USAGE_NAMES[call.path]
    read, written = (call.usage.get(name, 0) for name in names)
    return read, written
