"""One process of Farebox beside several, in turns, in one run: the slowest calls may not become slower.

    python bench/workers.py [--workers 4] [--connections 64] [--seconds 4] [--rounds 5]

Both serve a file of SQLite of their own, on processor 0; the fake provider and the load run on processor 1, where the
system lets a program choose. Who is not asked at the moment waits.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import psutil
from compare import HERE, family, load, make_key, start

from tests.services.process import free_port

FIGURES = "{name:12} {rate:8.0f} calls/s  p50 {p50_ms:6.2f} ms  p99 {p99_ms:6.2f} ms  cpu {cpu_ms:.3f} ms/call"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    provider = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    env |= {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1"}
    started: list[psutil.Process] = []
    served: dict[int, tuple[psutil.Process, int, str]] = {}
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=Path.cwd()) as name:
        try:
            upstream = ["-m", "tests.services.upstream", "--port", str(provider)]
            started.append(start(upstream, provider, 1, env, HERE.parent))
            for workers in (1, chosen.workers):
                folder, port = Path(name, str(workers)), free_port()
                folder.mkdir()
                key = make_key(folder, env)
                serve = ["-m", "farebox", "serve", "--port", str(port), "--workers", str(workers), "--processors", "1"]
                started.append(start(serve, port, 0, env, folder))
                served[workers] = (started[-1], port, key)
            rows = _in_turns(served, chosen.rounds, chosen.connections, chosen.seconds)
        finally:
            for process in reversed(started):
                for member in family(process):
                    member.kill()
    for workers, seen in rows.items():
        print(
            FIGURES.format(name=f"--workers {workers}", **{f: statistics.median(s[f] for s in seen) for f in seen[0]})
        )
    one, several = rows.values()
    ratio = statistics.median(b["p99_ms"] / a["p99_ms"] for a, b in zip(one, several, strict=True))
    print(f"p99 of {chosen.workers} beside one, pair by pair: {ratio:.2f}")


def _in_turns(
    served: dict[int, tuple[psutil.Process, int, str]], rounds: int, connections: int, seconds: float
) -> dict[int, list[dict[str, float]]]:
    rows: dict[int, list[dict[str, float]]] = {workers: [] for workers in served}
    for number in range(rounds + 1):
        for workers in list(served) if number % 2 else reversed(served):
            seen = load(*served[workers], connections, seconds)
            if number:  # the first warms up
                rows[workers].append(seen)
    return rows


if __name__ == "__main__":
    main()
