"""Real servers for these tests: one that is shared, and fresh data directories where a test needs its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import psycopg2.extensions
import pytest

import embedded_timescale
from embedded_timescale.paths import cache_dir

Connect = Callable[..., psycopg2.extensions.connection]


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder within the cache; the servers of all data directories right below it are stopped at the end."""
    base = cache_dir() / "tests"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=base))
    try:
        yield folder
    finally:
        for lock in folder.glob("*/server.lock"):
            with contextlib.suppress(embedded_timescale.EmbeddedError):
                embedded_timescale.stop(lock.parent, timeout_seconds=10)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            base.rmdir()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for data directories of one test; ``scratch / "db"`` is a good name."""
    with scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def shared_data_dir() -> Iterator[Path]:
    """The data directory of the server that most tests share."""
    with scratch_folder() as folder:
        embedded_timescale.ensure_running(folder / "shared")
        yield folder / "shared"


@pytest.fixture
def url(shared_data_dir: Path) -> str:
    """URL of the shared server."""
    return embedded_timescale.ensure_running(shared_data_dir)


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """Opens psycopg2 connections, to the shared server unless another URL is given, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def open_connection(
            to: str | None = None, *, autocommit: bool = True, **options: str
        ) -> psycopg2.extensions.connection:
            connection = psycopg2.connect(to or url, **options)
            stack.callback(connection.close)
            connection.autocommit = autocommit
            return connection

        yield open_connection


@pytest.fixture
def connection(connect: Connect) -> psycopg2.extensions.connection:
    """An autocommit connection to the shared server."""
    return connect()


@pytest.fixture
def table(connection: psycopg2.extensions.connection, request: pytest.FixtureRequest) -> str:
    """Name of an empty table ``(a int, b text)`` of the test's own."""
    name = f"t_{abs(hash(request.node.nodeid)):x}"
    run(connection, f"CREATE TABLE {name} (a int, b text)")
    return name


def run(
    connection: psycopg2.extensions.connection, sql: str, parameters: tuple[object, ...] | None = None
) -> list[tuple]:
    """Rows of a statement; none for one that returns none."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def value(connection: psycopg2.extensions.connection, sql: str) -> object:
    """The one value that a statement returns."""
    return run(connection, sql)[0][0]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns once the condition holds; fails the test when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {condition}"
        time.sleep(0.01)


@contextlib.contextmanager
def client_process(script: str, url: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that connects (``connection``, ``cursor``) and runs ``script``; killed at the end."""
    prelude = "import sys, time, psycopg2\nconnection = psycopg2.connect(sys.argv[1])\ncursor = connection.cursor()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", prelude + script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def server_pid(data_dir: Path) -> int:
    """Process id of the running server."""
    pid = embedded_timescale.status(data_dir).pid
    assert pid is not None
    return pid


def is_alive(pid: int) -> bool:
    """Whether there is such a process; its end is seen once it has given everything up, its locks too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_server(data_dir: Path) -> None:
    """Ends the server, which this process has started, with no chance to tidy up."""
    pid = server_pid(data_dir)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
