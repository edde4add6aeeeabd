"""A paid call of Farebox, and one over the OpenAI wire, beside the plain loop that keeps nothing, in turns, in one run.

    python bench/compare.py [--connections 1,64] [--seconds 4] [--rounds 3] [--workers 1]

Both servers run on processor 0 and call the same fake provider; it and the load run on processor 1, where the system
lets a program choose. Farebox runs on SQLite with synchronous=FULL, in this folder's file system. Ratios hold on a
noisy machine; the absolute figures do not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.services.process import free_port, is_listening, wait_until  # noqa: E402  # after the path is set

PROCESSORS = psutil.cpu_count() or 1
PLAN = 'Plan("bench", calls=10**12, max_output_tokens=1_000)'
APP = f'from farebox import Farebox, Plan\n\napp = Farebox("Bench", plans=[{PLAN}])\n'


def start(command: list[str], port: int, processor: int, env: dict[str, str], cwd: Path) -> psutil.Process:
    process = psutil.Popen([sys.executable, *command], env=env, cwd=cwd, stdout=subprocess.DEVNULL)
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity([processor % PROCESSORS])
    wait_until(lambda: is_listening(port), f"{command} on port {port}", timeout_seconds=60)
    return process


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    return sum(map(_cpu_seconds, family(process)))


def _cpu_seconds(member: psutil.Process) -> float:
    """To the nanosecond where the system tells: its ticks of 10 ms miss what runs for less than one."""
    tasks = list(Path(f"/proc/{member.pid}/task").glob("*/schedstat"))
    if tasks:
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    return sum(member.cpu_times()[:2])


def load(
    process: psutil.Process, port: int, key: str, connections: int, seconds: float, path: str = "/v1/generate"
) -> dict[str, float]:
    before = cpu_seconds(process)
    command = [sys.executable, str(HERE / "load.py"), str(port), key, str(connections), str(seconds), path]
    with psutil.Popen(command, stdout=subprocess.PIPE) as loader:
        if hasattr(loader, "cpu_affinity"):
            loader.cpu_affinity([1 % PROCESSORS])
        seen: dict[str, float] = json.loads(loader.communicate(timeout=10 * seconds + 60)[0])
    seen["rate"] = seen["calls"] / seen["seconds"]
    seen["cpu_ms"] = 1000 * (cpu_seconds(process) - before) / max(seen["calls"], 1)
    seen["rss_mb"] = sum(member.memory_info().rss for member in family(process)) / 1e6
    return seen


def compare(connections: int, rounds: int, seconds: float, farebox: tuple[psutil.Process, int, str],
            plain: tuple[psutil.Process, int, str]) -> None:  # fmt: skip
    rows: dict[str, list[dict[str, float]]] = {"farebox": [], "chat": [], "plain": []}
    for _ in range(rounds):
        rows["farebox"].append(load(*farebox, connections, seconds))
        rows["chat"].append(load(*farebox, connections, seconds, "/v1/chat/completions"))
        rows["plain"].append(load(*plain, connections, seconds))
    for name, seen in rows.items():
        m = {figure: statistics.median(row[figure] for row in seen) for figure in seen[0]}
        print(
            f"c={connections:<4} {name:8} {m['rate']:8.0f} calls/s"
            f"  p50 {m['p50_ms']:7.2f} ms  p99 {m['p99_ms']:7.2f} ms"
            f"  cpu {m['cpu_ms']:.3f} ms/call  rss {m['rss_mb']:.0f} MB{'  ERRORS' if m['bad'] else ''}"
        )
    ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(rows["farebox"], rows["plain"], strict=True))
    print(f"c={connections:<4} farebox/plain {ratio:.2f}x")
    ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(rows["chat"], rows["farebox"], strict=True))
    print(f"c={connections:<4} /v1/chat/completions beside /v1/generate {ratio:.2f}x", flush=True)


def make_key(folder: Path, env: dict[str, str]) -> str:
    (folder / "app.py").write_text(APP)
    farebox = [sys.executable, "-m", "farebox"]
    subprocess.run([*farebox, "accounts", "create", "bench@example.com", "--plan", "bench"], cwd=folder, env=env,
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    made = subprocess.run([*farebox, "keys", "create", "bench@example.com"], cwd=folder, env=env, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return made.stdout.split()[-1]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connections", default="1,64")
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()
    provider, product, plain = free_port(), free_port(), free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
    env |= {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1"}
    started: list[psutil.Process] = []
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        key = make_key(folder, env)
        try:
            started.append(
                start(["-m", "tests.services.upstream", "--port", str(provider)], provider, 1, env, HERE.parent)
            )
            uvicorn = ["-m", "uvicorn", "--app-dir", str(HERE), "plain_loop:app", "--log-level", "warning"]
            started.append(start([*uvicorn, "--port", str(plain)], plain, 0, env, folder))
            serve = ["-m", "farebox", "serve", "--port", str(product), "--workers", str(chosen.workers)]
            started.append(start(serve, product, 0, env, folder))
            time.sleep(2)
            for connections in map(int, chosen.connections.split(",")):
                compare(connections, chosen.rounds, chosen.seconds, (started[2], product, key),
                        (started[1], plain, "plain_key"))  # fmt: skip
        finally:
            for process in reversed(started):
                for member in family(process):
                    member.kill()


if __name__ == "__main__":
    main()
