"""What every service here needs: a port, a process group that never outlives the tests, a wait."""

import atexit
import fcntl
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from tests.services.forked import Forked

# Below the range from which kernels take the ports of outgoing connections (Linux 32768, macOS 49152):
# a thousand callers must not take the port that a server is about to come back to.
PORTS = range(15_000, 32_000)

LISTENS = "0A"
"""A socket's state in /proc/net/tcp. Source: Linux, include/net/tcp_states.h."""

# Reads "+pid" and "-pid". Its input ends when the tests end, however they end; what is left then is killed.
REAPER = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""

_reserved_ports: list[IO[str]] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other test process is handed while this one lives."""
    locks = Path(tempfile.gettempdir()) / f"farebox-test-ports-{os.geteuid()}"
    locks.mkdir(exist_ok=True)
    for port in random.sample(PORTS, 200):
        lock = (locks / str(port)).open("w")
        if _lock(lock) and _can_listen(port):
            _reserved_ports.append(lock)
            return port
        lock.close()
    raise RuntimeError("200 ports tried, all of them taken")


def _lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@atexit.register
def _release_ports() -> None:
    for lock in _reserved_ports:
        lock.close()


def allow_open_files(count: int = 8192) -> None:
    """A thousand callers need a thousand sockets; macOS allows 256 files unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def wait_until(condition: Callable[[], bool], what: str, *, timeout_seconds: float = 30) -> None:
    """Ask again and again; the longer it takes, the more seldom, as to ask costs processor time that others need."""
    began = time.monotonic()
    while not condition():
        waited_seconds = time.monotonic() - began
        if waited_seconds > timeout_seconds:
            raise TimeoutError(f"waited {timeout_seconds} s for {what}")
        time.sleep(min(max(0.01, waited_seconds / 10), 0.2))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_alive(pid: int) -> bool:
    """A zombie is not, as an orphan stays one until init looks; but it is while its threads end, and hold its ports."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    return False


class Reaper:
    """A process that kills what the tests started and did not live to stop."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self._end)  # before any service registers its own end, so that this one comes last

    def tell(self, sign: str, pid: int) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", REAPER], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{sign}{pid}\n")
        self._process.stdin.flush()

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()


_reaper = Reaper()


def _popen(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None, cwd: Path | None, user: int | None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )


def listening(port: int) -> int:
    """How many sockets listen on a port, on Linux."""
    found = 0
    with Path("/proc/net/tcp").open() as lines:
        next(lines)
        for line in lines:
            _, address, _, state, *_ = line.split()
            if state != LISTENS:  # these come first
                break
            found += address.endswith(f":{port:04X}")
    return found


class ProcessGroup:
    """One command and all that it starts, so that one signal can reach all of it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        forks: bool = False,
    ) -> None:
        """Start it; `forks` saves a Python program its imports."""
        self.log = log
        self._popen: subprocess.Popen[bytes] | Forked
        if forks:
            self._popen = Forked(command, outputs=(log, log), env=env, cwd=cwd)
        else:
            self._popen = _popen(command, log, env, cwd, user)
        self.pid = self._popen.pid
        _reaper.tell("+", self.pid)

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """To the first process alone: a service manager signals no other."""
        self._popen.send_signal(number)

    def wait(self, timeout_seconds: float = 30) -> int:
        """The exit code. What the first process left behind is killed."""
        code = self._popen.wait(timeout_seconds)
        self._kill_group()
        _reaper.tell("-", self.pid)
        return code

    def stop(self, number: signal.Signals, timeout_seconds: float = 30) -> int:
        """The exit code; -9 where it did not end in time."""
        self.send(number)
        with suppress(subprocess.TimeoutExpired):
            return self.wait(timeout_seconds)
        return self.kill()

    def kill(self) -> int:
        self._kill_group()
        return self.wait()

    def children(self) -> dict[int, str]:
        """The live processes below the first one: process id and command line."""
        found = {}
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    found[child.pid] = " ".join(child.cmdline())
        return found

    def require_running(self) -> None:
        if not self.running:
            raise RuntimeError(f"{self._popen.args!r} ended with {self.wait()}:\n{self.output()[-4000:]}")

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(self._is_live_member, psutil.pids())), "the whole group to die")

    def _is_live_member(self, pid: int) -> bool:
        with suppress(OSError):
            return os.getpgid(pid) == self.pid and is_alive(pid)
        return False
