"""Schemathesis makes up a thousand requests from the OpenAPI page, and holds the answers to it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.api.shop import Shop
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

CASES: Final = 1_000
EXAMPLES: Final = [60, pytest.param(500, marks=pytest.mark.chaos)]  # an operation, at most
SCHEMATHESIS: Final = Path(sys.executable).with_name("schemathesis")
# What a provider takes, and what it has against a request, stands in no schema of ours.
CONFIG: Final = """
[[operations]]
include-path-regex = "^/v1/(chat/completions|responses|embeddings)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 422, 429, "5xx"]
checks.negative_data_rejection.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 422, 429, "5xx"]
"""
# An Idempotency-Key that comes again with another request is refused, and rightly: a good one is made a new one.
HOOKS: Final = """
import gc
import uuid
import schemathesis

gc.disable()  # it ends before there is much of it

@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key.strip().strip('"')) <= 255 and key.isascii() and key.isprintable():
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
"""


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_thousand_made_up_requests_are_answered_as_the_openapi_page_says(
    examples: int, shop: Shop, served: Served, upstream: FakeUpstream, seed: int, tmp_path: Path
) -> None:
    """Every check there is, among them: no 5xx, documented statuses and bodies only, bad data and no key refused."""
    command = [str(SCHEMATHESIS), "run", f"{served.url}/openapi.json", "--header", f"X-API-Key: {shop.new_key('open')}"]
    command += ["--checks", "all", "--max-examples", str(examples), "--seed", str(seed), "--no-color"]
    command += ["--request-timeout", "60"]
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "hooks.py").write_text(HOOKS)
    own = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)}
    # One worker: in Python 3.11 two threads that parse source at once can trip over each other, as Hypothesis does.
    command += ["--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found is not None, done.stdout[-2000:]
    print(f"{found[1]} requests, of which {upstream.count()} reached the model")
    assert int(found[1]) == int(found[2]) >= CASES
    assert upstream.count() > 100  # they were not all refused
    assert "Traceback" not in served.output()
