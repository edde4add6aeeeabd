"""The processes of `farebox serve --workers`: as many as there are processors take calls, and the others stand by.

More interpreters at work than processors push one another out of its cache, and all are slower (decision 26).
"""

import asyncio
import logging
import multiprocessing
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

log = logging.getLogger("farebox.workers")

LATE_SECONDS: Final = 0.05
SLOW_SECONDS: Final = 5.0  # to start: for longer, nobody is to wait for a worker
RETRY_SECONDS: Final = 5.0  # before another worker is started in place of one that could not start
KILL: Final = 9
KILLED: Final = "was killed by SIGKILL, as the system does where memory runs out"
ENDING_SECONDS: Final = 30  # for a worker's work after its last call, such as sending the mail in hand
LOOK_SECONDS: Final = 0.5
CONTAINERS_SHARE: Final = Path("/sys/fs/cgroup/cpu.max")
"""Processor time in each period, both in microseconds. Source: docs.kernel.org/admin-guide/cgroup-v2.html, cpu.max."""


def processors_usable() -> int:
    """How many processors this process may use: those it may run on, or the share of them that its container has."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = CONTAINERS_SHARE.read_text().split()
        return min(usable, ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # there is no such file here, or it says "max"
        return usable


class Workers(Multiprocess):
    """Uvicorn's workers, of which only the first take callers as they come.

    A worker that dies leaves its place, and the socket it listened on, to the one that replaces it. Until the new one
    is ready, its share of callers waits; if it dies before that, they are left to the others (decision 28).
    """

    processes: list["Worker"]  # type: ignore[assignment]  # uvicorn's own list, which has only these here

    def __init__(self, config: uvicorn.Config, listeners: list[socket.socket], at_work: int) -> None:
        """Take one listener for each worker that is `at_work`, or one for all of them."""
        super().__init__(config, sockets=listeners)
        self._at_work = at_work
        self.could_not_start = False
        self._is_up = False
        self._leaving: list[Worker] = []

    def init_processes(self) -> None:
        self.processes = [self._started(place) for place in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        for place, worker in enumerate(self.processes):
            answers = self._answers(worker)
            if self._is_told_to_end():
                return
            if answers:
                self._spare_callers(place, worker)
            elif self._is_to_be_replaced(place, worker):
                self.processes[place] = self._started(place)

    def _spare_callers(self, place: int, worker: "Worker") -> None:
        """Leave the callers of a worker that is slow to start to the others, until it is ready."""
        if worker.was_ready and worker.is_slow:
            worker.is_slow = False
            self._listen(place)
        elif not (worker.was_ready or worker.is_slow) and time.monotonic() >= worker.started_at + SLOW_SECONDS:
            worker.is_slow = any(each.was_ready for each in self.processes) and self._has_own_callers(place)
            if worker.is_slow:
                told = "The worker %d has not started after %d s; until it has, the others take its callers."
                log.warning(told, worker.pid, SLOW_SECONDS)
                self._stop_listening(place)

    def _is_to_be_replaced(self, place: int, worker: "Worker") -> bool:
        """Whether another worker now takes the place of one that does not answer.

        At once, if the worker had been ready. One that never was could not start: the next one has to wait.
        """
        if worker.left_at is None:
            self._is_up = self._is_up or any(each.was_ready for each in self.processes)
            ended = self._end(worker)
            if worker.was_ready:
                log.error("The worker %d %s; another takes its place.", worker.pid, ended)
                return True
            worker.left_at = time.monotonic()
            self._leave(place, worker, ended)
        return time.monotonic() >= worker.left_at + RETRY_SECONDS

    def _end(self, worker: "Worker") -> str:
        """End a worker, unless it is dead already; return in words how it ended."""
        was_silent = worker.process.is_alive()
        worker.kill()  # it may only hang
        worker.join()
        code = worker.exitcode or 0
        if was_silent:
            return f"did not answer for {self.config.timeout_worker_healthcheck} s, and was killed"
        if code >= 0:
            return f"ended, with exit code {code}"
        return KILLED if code == -KILL else f"was ended by signal {-code} ({signal.strsignal(-code)})"

    def _leave(self, place: int, worker: "Worker", ended: str) -> None:
        """Leave a place whose worker could not start, or all of them.

        If none was ready yet, the reason why a worker ended by itself would stop all others as well. Later it is
        something that passes, such as a database that is away. What kills a worker may pass at any time.
        """
        if not self._is_up and (worker.exitcode or 0) >= 0:
            log.error("A worker could not start: it %s. The others are stopped as well. See what it printed.", ended)
            self.could_not_start = True
            self.should_exit.set()
            return
        told = "The worker %d could not start: it %s. See what it printed. Next try in %d s."
        log.error(told, worker.pid, ended, RETRY_SECONDS)
        self._stop_listening(place)

    def _answers(self, worker: "Worker") -> bool:
        """Whether a worker answers in time; the wait is cut short when all are to end, or when it dies."""
        ends_at = time.monotonic() + self.config.timeout_worker_healthcheck
        while worker.process.is_alive() and time.monotonic() < ends_at and not self._is_told_to_end():
            if worker.ping(LOOK_SECONDS):
                return True
        return False

    def _stop_listening(self, place: int) -> None:
        """Have the system pass over a place that is not filled, whose callers would wait until it is.

        Callers that wait there by now are cut off. The next worker there listens anew: the port is still bound.
        """
        # Not twice: one that does not listen would stay shut down, and so would each connection that it takes later.
        if self._has_own_callers(place) and self._is_listening(place):
            self.sockets[place].shutdown(socket.SHUT_RDWR)

    def _listen(self, place: int) -> None:
        """Listen for a worker that does, unless it became ready in the moment in which it was found slow."""
        if not self._is_listening(place):
            self.sockets[place].listen(self.config.backlog)

    def _has_own_callers(self, place: int) -> bool:
        """Whether no other worker takes callers from the socket of this place."""
        return len(self.sockets) > 1 and place < self._at_work == self.processes_num

    def _is_listening(self, place: int) -> bool:
        return _listens(self.sockets[place])

    def _is_ready_in_time(self, new: "Worker") -> bool:
        ends_at = time.monotonic() + self.config.timeout_worker_healthcheck
        while not new.was_ready and time.monotonic() < ends_at and new.process.is_alive():
            if self._is_told_to_end():
                return False
            new.process.join(LATE_SECONDS)
        return new.was_ready and new.process.is_alive()

    def restart_all(self) -> None:
        for place in range(len(self.processes)):
            if self._is_told_to_end():
                return
            new = self._started(place)
            if not self._is_ready_in_time(new):
                new.kill()
                new.join()
                if not self._is_told_to_end():
                    log.error("A new worker was not ready in time. The old ones go on. See what the new one printed.")
                return
            old, self.processes[place] = self.processes[place], new
            old.terminate()
            self._leaving = [old]  # there is one worker more at a time, not twice as many
            ends_at = self._ends_at()
            while old.process.is_alive() and time.monotonic() < ends_at and not self._is_told_to_end():
                old.process.join(LOOK_SECONDS)
                self.keep_subprocess_alive()
            if not self._is_told_to_end():
                self._see_out([old], ends_at)

    def join_all(self) -> None:
        self._see_out([*self._leaving, *self.processes], self._ends_at())

    def _ends_at(self) -> float:
        """The time by which a worker has to end."""
        return time.monotonic() + (self.config.timeout_graceful_shutdown or 0) + ENDING_SECONDS

    def _see_out(self, workers: Iterable["Worker"], ends_at: float) -> None:
        for worker in workers:
            seconds = max(0.0, ends_at - time.monotonic())
            worker.process.join(seconds if worker.was_ready else min(seconds, SLOW_SECONDS))  # it has no calls
            if worker.process.is_alive():
                log.error("The worker %d did not end, and was killed.", worker.pid)
                worker.kill()
                worker.join()

    def _is_told_to_end(self) -> bool:
        told = signal.SIGTERM in self.signal_queue or signal.SIGINT in self.signal_queue
        return told or self.should_exit.is_set()

    def handle_ttin(self) -> None:
        """The number of workers stays: each has its place."""

    def handle_ttou(self) -> None:
        """The number of workers stays: a socket without a worker would keep its callers waiting."""

    def _started(self, place: int) -> "Worker":
        if place < self._at_work:
            worker = Worker(self.config, [self.sockets[place % len(self.sockets)]])
        else:
            worker = StandbyProcess(self.config, self.sockets)
        with _interrupts_wait():
            worker.start()
        return worker


class Worker(Process):
    """A worker that ends when its parent is dead: nobody could stop it, and it would keep the port from a new start."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.started_at = time.monotonic()
        self.is_slow = False
        """Whether it was found slow to start, and its callers were left to the others."""
        self.left_at: float | None = None
        """The time at which it was found that this worker could not start."""
        self._hears, self._tells = multiprocessing.Pipe(duplex=False)

    @property
    def was_ready(self) -> bool:
        """Whether it came to serve; its parent knows that even when it is dead."""
        return self._hears.poll()  # the message is never taken out

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server

    async def _tell_ready(self) -> None:
        self.config.callback_notify = None  # once is enough
        self._tells.send(True)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        if sys.platform != "win32":
            # A closed terminal signals all processes; only the parent acts on that, and replaces the workers.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a Ctrl-C that waited ends this process here
        threading.Thread(target=_end_after_parent, daemon=True).start()
        self.config.callback_notify = self._tell_ready  # uvicorn calls it when it takes the first callers
        super().target(sockets)


class Server(uvicorn.Server):
    """A server that listens from now on, on a socket that kept its port until now."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        own = sockets or [] if sys.platform == "linux" else []
        for listener in own:
            # Its connections take this over. Without it, those that are being closed would keep the port for a minute.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            await super().startup(sockets)
        except OSError:  # as asyncio has it; uvloop only closes the socket
            if not own:
                raise
        if not all(map(_listens, own)):
            log.error("A worker cannot listen: its port was taken by another program while it started.")
            await self.lifespan.shutdown()  # or its threads would keep the process
            sys.exit(STARTUP_FAILURE)


def _listens(listener: socket.socket) -> bool:
    with suppress(OSError):  # it was closed
        return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back a Ctrl-C until the process that is being started can take it without printing a traceback."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # starting it would take the block away
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "uvicorn starts it by multiprocessing"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


class StandbyProcess(Worker):
    """A worker that stands by."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Standby(self.config)
        return self._server


class Standby(uvicorn.Server):
    """A server of callers that the others leave waiting, as there are too many, or their process is stuck or dead."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self._watch = asyncio.create_task(self._take_the_late(sockets or []))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._watch.cancel()
        await super().shutdown(sockets)

    async def _take_the_late(self, listeners: list[socket.socket]) -> None:
        late: set[int] = set()
        with selectors.DefaultSelector() as selector:
            for listener in listeners:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ)
            while True:
                await asyncio.sleep(LATE_SECONDS)
                ready = {key.fd for key, _ in selector.select(0)}
                for listener in listeners:
                    if listener.fileno() in late & ready:
                        await self._take_all(listener)
                late = ready

    async def _take_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # nobody waits any more, or the caller has gone
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn's own start-up makes it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
