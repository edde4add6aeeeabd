"""A process may have as many connections open as the system lets it."""

import subprocess
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no such limit", allow_module_level=True)

SCRIPT = """
import resource
from farebox.web.open_files import files_max, raise_files_max
for soft, hard in {limits}:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    raise_files_max()
    print(files_max(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


def test_it_is_raised_as_far_as_the_system_lets_it_and_never_lowered() -> None:
    script = SCRIPT.format(limits=[(100, 900), (800, 800), (50, 700)])
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["900 900", "800 800", "700 700"]
