"""Every client does what it can do, and says the same as the provider and the ledger."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.clients.desk import Desk, Row
from tests.clients.program import EMBEDDING_MODEL, MODEL
from tests.clients.roster import SCENARIOS
from tests.services.upstream import expected_embedding

CALLING = [
    pytest.param(client, scenario, id=f"{client}-{scenario}")
    for client, scenarios in SCENARIOS.items()
    for scenario in scenarios
    if scenario != "models"
]


def assert_answered(scenario: str, said: dict[str, Any], rows: Sequence[Row]) -> None:
    """The answer has its form, and the client counts the tokens as the ledger does."""
    assert "error" not in said
    assert {row[:2] for row in rows} == {("posted", 1)}
    if said["input_tokens"] is not None:
        assert said["input_tokens"] == sum(row[2] for row in rows)
        assert said["output_tokens"] == sum(row[3] for row in rows)
    if "tools" in scenario:
        assert said["tool"]["name"] == "temperature"
        assert isinstance(said["tool"]["arguments"]["city"], str)
    elif scenario != "at_once":
        assert len(rows) == 1
    if "structured" in scenario:
        assert {name: type(value) for name, value in said["data"].items()} == {"name": str, "people": int}
    if scenario == "embeddings":
        first, second = said["vectors"]
        assert len(first) == len(second) > 0
        assert all(isinstance(part, float) for part in first + second)


@pytest.mark.parametrize(("client", "scenario"), CALLING)
def test_the_client_the_provider_and_the_ledger_agree(desk: Desk, client: str, scenario: str) -> None:
    key = desk.shop.new_key("open")
    said = desk.ask(client, scenario, key)
    assert_answered(scenario, said, desk.assert_ledger(key))
    calls = desk.calls()
    assert desk.witness.statuses() == [200] * len(calls)
    if said["text"] is not None:
        assert said["text"] == calls[-1].text
    if "tools" in scenario:
        assert said["tool"]["arguments"] == json.loads(calls[0].text or "")
        assert len(calls) == (1 if said["text"] is None else 2)
    if "structured" in scenario:
        assert said["data"] == json.loads(calls[0].text or "")
    if scenario == "embeddings":
        expected = [expected_embedding(text) for text in calls[0].body["input"]]
        assert said["vectors"] == [pytest.approx(vector, abs=1e-6) for vector in expected]


@pytest.mark.parametrize(("client", "scenario"), [case for case in CALLING if "tools" not in str(case.id)])
def test_a_test_key_serves_as_well(desk: Desk, client: str, scenario: str) -> None:
    """The sandbox speaks well enough for every client. It calls no tool that it need not."""
    key = desk.shop.new_key("open", mode="test")
    said = desk.ask(client, scenario, key)
    assert_answered(scenario, said, desk.rows(key))
    assert desk.calls() == []


@pytest.mark.parametrize("client", [name for name, scenarios in SCENARIOS.items() if "models" in scenarios])
def test_the_models_are_those_of_the_file(desk: Desk, client: str) -> None:
    key = desk.shop.new_key("open")
    assert desk.ask(client, "models", key) == {"models": [MODEL, EMBEDDING_MODEL]}
    assert desk.rows(key) == []


def test_eight_at_once_are_eight_rows(desk: Desk) -> None:
    key = desk.shop.new_key("open")
    desk.ask("openai_async", "at_once", key)
    assert len(desk.rows(key)) == 8
