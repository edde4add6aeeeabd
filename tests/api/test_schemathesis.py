"""Schemathesis makes up a thousand requests from the OpenAPI page, and holds the answers to it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.api.shop import Shop
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

CASES: Final = 1_000
EXAMPLES_PER_OPERATION: Final = 500  # the operations without input end after a few
SCHEMATHESIS: Final = Path(sys.executable).with_name("schemathesis")


def test_a_thousand_made_up_requests_are_answered_as_the_openapi_page_says(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int, tmp_path: Path
) -> None:
    """Every check there is, among them: no 5xx, documented statuses and bodies only, bad data and no key refused."""
    command = [str(SCHEMATHESIS), "run", f"{served.url}/openapi.json", "--header", f"X-API-Key: {shop.new_key('open')}"]
    command += ["--checks", "all", "--max-examples", str(EXAMPLES_PER_OPERATION), "--seed", str(seed), "--no-color"]
    done = subprocess.run([*command, "--workers", "2"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found is not None, done.stdout[-2000:]
    print(f"{found[1]} requests, of which {upstream.count()} reached the model")
    assert int(found[1]) == int(found[2]) >= CASES
    assert upstream.count() > 100  # they were not all refused
    assert "Traceback" not in served.output()
