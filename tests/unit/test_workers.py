"""How many processors `farebox serve` counts on, and what is told when a worker cannot come."""

import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from farebox.cli import server, workers
from farebox.cli.server import SHARES_OUT, listen
from farebox.cli.workers import Worker, Workers, processors_usable
from farebox.domain.errors import FounderError

HAS: int = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("told", "usable"),
    [
        ("max 100000\n", HAS),
        ("100000 100000\n", 1),
        ("150000 100000\n", min(HAS, 2)),
        ("1000 100000\n", 1),
        ("6400000 100000\n", min(HAS, 64)),
        ("", HAS),
        (None, HAS),
    ],
)
def test_a_container_has_the_share_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, usable: int
) -> None:
    share = tmp_path / "cpu.max"
    if told is not None:
        share.write_text(told)
    monkeypatch.setattr(workers, "CONTAINERS_SHARE", share)
    assert processors_usable() == usable


class Child:
    """A worker as its parent sees it, ready at some time or never. It ends when it is told to, unless it is stuck."""

    def __init__(self, exitcode: int | None, *, is_stuck: bool, was_ready: bool) -> None:
        self.exitcode = exitcode
        self.was_ready = was_ready
        self.left_at: float | None = None
        self.started_at, self.is_slow = time.monotonic(), False
        self.pid = 4711
        self.process = self
        self.was_killed = False
        self._is_stuck = is_stuck

    def is_alive(self, timeout: float = 0) -> bool:
        del timeout
        return self.exitcode is None

    is_ready = ping = is_alive

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None or self.exitcode is not None, "nobody waits without an end"

    def terminate(self) -> None:
        if not self._is_stuck:
            self.exitcode = 0

    def kill(self) -> None:
        self.was_killed = self.exitcode is None
        if self.was_killed:
            self.exitcode = -9


def child(exitcode: int | None = None, *, is_stuck: bool = False, was_ready: bool = True) -> Any:  # noqa: ANN401  # as far as a parent looks
    return Child(exitcode, is_stuck=is_stuck, was_ready=was_ready)


def failed(exitcode: int) -> Any:  # noqa: ANN401
    return child(exitcode, was_ready=False)


class Parent(Workers):
    """The parent of workers that are made up."""

    def __init__(self, *now: Any, then: list[Any]) -> None:  # noqa: ANN401
        super().__init__(uvicorn.Config("x:y", workers=len(now), timeout_graceful_shutdown=0), [], 1)
        self.processes = list(now)
        self.started = then
        self.places_left: list[int] = []

    def _started(self, place: int) -> Any:  # noqa: ANN401
        del place
        return self.started.pop(0)

    def _stop_listening(self, place: int) -> None:
        self.places_left.append(place)


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.parametrize("exitcode", [STARTUP_FAILURE, 1, 0])
def test_a_worker_that_cannot_start_ends_all_and_is_told_of(caplog: pytest.LogCaptureFixture, exitcode: int) -> None:
    """Whether uvicorn says so, Python, or the founder's file."""
    parent = Parent(failed(exitcode), child(was_ready=False), then=[])
    parent.keep_subprocess_alive()
    assert (parent.should_exit.is_set(), parent.could_not_start) == (True, True)
    assert f"it ended, with exit code {exitcode}. The others are stopped as well" in caplog.text


@pytest.mark.parametrize("exitcode", [STARTUP_FAILURE, 1, -9])
def test_once_one_was_ready_another_that_cannot_start_is_tried_again_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, exitcode: int
) -> None:
    """Whether the database is away by then, the founder's file has a mistake, or memory runs out."""
    left, other, whole = failed(exitcode), child(was_ready=False), child()
    parent = Parent(child(-9), other, then=[left, whole])
    parent.keep_subprocess_alive()
    for _ in range(3):
        parent.keep_subprocess_alive()
        assert (parent.processes, parent.places_left) == ([left, other], [0])
    monkeypatch.setattr(workers, "RETRY_SECONDS", 0.0)
    parent.keep_subprocess_alive()
    assert (parent.processes, parent.should_exit.is_set(), parent.could_not_start) == ([whole, other], False, False)
    assert "Next try in 5 s" in caplog.text


def test_one_that_is_ready_goes_on_though_nobody_has_asked_it_yet() -> None:
    parent = Parent(failed(STARTUP_FAILURE), child(), then=[])
    parent.keep_subprocess_alive()
    assert (parent.places_left, parent.should_exit.is_set()) == ([0], False)


def test_a_worker_that_is_killed_before_any_was_ready_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    parent = Parent(failed(-9), child(was_ready=False), then=[])
    parent.keep_subprocess_alive()
    assert (parent.places_left, parent.should_exit.is_set()) == ([0], False)
    told = "4711 could not start: it was killed by SIGKILL, as the system does where memory runs out. See what it"
    assert f"The worker {told} printed. Next try in 5 s." in caplog.text


def test_a_worker_was_ready_once_it_has_told_so() -> None:
    worker = Worker(uvicorn.Config("x:y"), [])
    assert not worker.was_ready
    asyncio.run(worker._tell_ready())
    assert (worker.was_ready, worker.was_ready) == (True, True)


@pytest.mark.parametrize(
    ("exitcode", "told"),
    [
        (-9, "4711 was killed by SIGKILL, as the system does where memory runs out; another takes its place."),
        (-11, "4711 was ended by signal 11 (Segmentation fault); another takes its place."),
        (7, "4711 ended, with exit code 7; another takes its place."),
        (None, "4711 did not answer for 0 s, and was killed; another takes its place."),
    ],
)
def test_how_a_worker_ended_that_is_replaced_is_told(
    caplog: pytest.LogCaptureFixture, exitcode: int | None, told: str
) -> None:
    new = child()
    parent = Parent(child(exitcode), then=[new])
    parent.config.timeout_worker_healthcheck = 0
    parent.keep_subprocess_alive()
    assert parent.processes == [new]
    assert [record.getMessage() for record in caplog.records] == [f"The worker {told}"]


def test_an_order_to_end_is_heard_before_a_dead_worker_is_replaced() -> None:
    """A Ctrl-C ends the workers as well: whoever came in their place would only have to be ended again."""
    dead = child(-2)
    parent = Parent(dead, then=[])
    parent.signal_queue.append(signal.SIGINT)
    parent.keep_subprocess_alive()
    assert parent.processes == [dead]


def test_an_order_to_end_is_heard_while_a_worker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = child()
    parent = Parent(silent, then=[])
    monkeypatch.setattr(silent, "ping", lambda _: parent.signal_queue.append(signal.SIGTERM))
    parent.keep_subprocess_alive()
    assert (silent.was_killed, parent.signal_queue) == (False, [signal.SIGTERM])


def test_a_worker_that_dies_while_it_is_asked_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    dying, new = child(), child()
    parent = Parent(child(), dying, then=[new])
    monkeypatch.setattr(dying, "ping", lambda _: setattr(dying, "exitcode", -9))
    parent.keep_subprocess_alive()
    assert parent.processes[1] is new


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks")
def test_an_interrupt_waits_while_a_worker_is_started() -> None:
    """Whoever is started inherits that, until it can end without a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with workers._interrupts_wait():
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) - before == {signal.SIGINT}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.skipif(not SHARES_OUT, reason="elsewhere all places have one socket")
def test_a_place_that_is_not_filled_has_no_callers_and_whoever_fills_it_hears_them() -> None:
    with ExitStack() as stack:
        listeners = stack.enter_context(listen("127.0.0.1", 0, "farebox serve", at_work=2))
        parent = Workers(uvicorn.Config("x:y", workers=2), listeners, 2)
        listeners[1].listen()
        assert callers_of(listeners, stack) == [0, 40]  # the other has not started yet
        listeners[0].listen()
        for _ in range(2):  # it could not start, twice
            parent._stop_listening(0)
            assert callers_of(listeners, stack) == [0, 40]
        listeners[0].listen()
        shares = callers_of(listeners, stack)
        assert (sum(shares), min(shares) > 0) == (40, True)


@pytest.mark.skipif(not SHARES_OUT, reason="elsewhere all places have one socket")
def test_while_no_worker_serves_the_port_is_kept_from_others() -> None:
    with listen("127.0.0.1", 0, "farebox serve", at_work=2) as listeners:
        host, port = listeners[0].getsockname()
        told = f"Port {port} is taken by another program"
        for at_work in (1, 2):
            with pytest.raises(FounderError, match=told), listen(host, port, "farebox serve", at_work=at_work):
                pass
        with pytest.raises(OSError, match="in use"):
            socket.create_server((host, port))


@pytest.mark.skipif(not SHARES_OUT, reason="elsewhere a socket listens from the start")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_worker_whose_port_was_taken_meanwhile_says_so_and_ends(caplog: pytest.LogCaptureFixture, loop: str) -> None:
    told: list[str] = []

    async def app(_scope: object, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI
        for what in ("startup", "shutdown"):
            await receive()
            told.append(what)
            await send({"type": f"lifespan.{what}.complete"})

    async def start(listener: socket.socket) -> None:
        config = uvicorn.Config(app, lifespan="on", log_config=None)
        config.load()
        started = workers.Server(config)
        started.lifespan = config.lifespan_class(config)
        with pytest.raises(SystemExit, match=str(STARTUP_FAILURE)):
            await started.startup([listener])

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        with socket.create_server(listener.getsockname()):
            import_module(loop).run(start(listener))
    assert told == ["startup", "shutdown"]
    assert "A worker cannot listen: its port was taken by another program" in caplog.text


@pytest.mark.skipif(not SHARES_OUT, reason="elsewhere all places have one socket")
def test_a_place_whose_worker_is_slow_to_start_has_no_callers_until_it_is_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As where a founder's file loads a model of its own for a minute."""
    slow = child(was_ready=False)
    with ExitStack() as stack:
        listeners = stack.enter_context(listen("127.0.0.1", 0, "farebox serve", at_work=2))
        parent = Workers(uvicorn.Config("x:y", workers=2), listeners, 2)
        parent.processes = [slow, child()]
        for listener in listeners:
            listener.listen()  # as where it comes in the place of another
        parent.keep_subprocess_alive()
        assert min(callers_of(listeners, stack)) > 0
        slow.started_at -= workers.SLOW_SECONDS
        for _ in range(2):
            parent.keep_subprocess_alive()
            assert callers_of(listeners, stack) == [0, 40]
        slow.was_ready = True
        parent.keep_subprocess_alive()
        assert min(callers_of(listeners, stack)) > 0
    assert [record.getMessage() for record in caplog.records] == [
        "The worker 4711 has not started after 5 s; until it has, the others take its callers."
    ]


def callers_of(listeners: list[socket.socket], stack: ExitStack) -> list[int]:
    """How many of 40 who connect and say something are heard at each place."""
    for _ in range(40):
        stack.enter_context(socket.create_connection(listeners[1].getsockname(), timeout=30)).sendall(b"x")
    shares = [0, 0]
    for place, listener in enumerate(listeners):
        listener.settimeout(0)
        with suppress(OSError):  # nobody is left, or it does not listen
            while True:
                caller = stack.enter_context(listener.accept()[0])
                caller.settimeout(30)
                shares[place] += caller.recv(1) == b"x"
    return shares


def test_a_restart_that_fails_leaves_the_old_workers_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    parent = Parent(child(), then=[child(1)])
    before = list(parent.processes)
    parent.restart_all()
    assert (parent.processes, parent.should_exit.is_set()) == (before, False)
    assert "was not ready in time" in caplog.text


def test_a_restart_is_left_for_an_order_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old worker may finish its calls for minutes, and a service manager does not wait so long."""
    slow, second, new = child(is_stuck=True), child(), child()
    parent = Parent(slow, second, then=[new])
    monkeypatch.setattr(slow, "join", lambda _: parent.signal_queue.append(signal.SIGTERM))
    parent.restart_all()
    assert parent.processes == [new, second]
    assert (slow.is_alive(), slow in parent._leaving) == (True, True)


def test_a_connection_is_kept_for_longer_than_clients_and_load_balancers_keep_theirs() -> None:
    assert server._config("x:y", 1, 5).timeout_keep_alive > 60


def test_while_one_is_replaced_another_that_dies_is_replaced_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, second, new, other, last = child(is_stuck=True), child(), child(), child(), child()
    parent = Parent(slow, second, then=[new, other, last])
    joins: list[Any] = [second.kill, lambda: None, lambda: setattr(slow, "exitcode", 0)]
    monkeypatch.setattr(slow, "join", lambda _: joins.pop(0)() if joins else None)
    parent.restart_all()
    assert parent.processes == [new, last]
    assert other.exitcode == 0


def test_a_worker_that_does_not_end_is_killed_and_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ENDING_SECONDS", 0)
    stuck, other = child(is_stuck=True), child()
    parent = Parent(stuck, other, then=[])
    parent.terminate_all()
    parent.join_all()
    assert (stuck.was_killed, other.was_killed) == (True, False)
    assert "4711 did not end, and was killed" in caplog.text


def test_an_end_does_not_wait_for_calls_of_a_worker_that_never_was_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = child(is_stuck=True, was_ready=False)
    waits: list[float] = []
    monkeypatch.setattr(stuck, "join", lambda seconds=None: waits.append(seconds))
    parent = Parent(stuck, then=[])
    parent.terminate_all()
    parent.join_all()
    assert (stuck.was_killed, waits[0]) == (True, workers.SLOW_SECONDS)
