"""A database that is frozen while the loader waits for it: the backend of a native one, all of the embedded one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_standin import StandIn

FROZEN = 8.0
"""Seconds: longer than a statement may take untold, shorter than an owner may be silent."""


def wait_until(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def backend(database: Database, *, waits: bool) -> int | None:
    """The process of the loader's backend; with `waits`, None until it waits for a lock."""
    found = rows(
        database,
        "SELECT pid, wait_event_type = 'Lock' FROM pg_stat_activity "
        f"WHERE application_name = '{leases.application_name('test')}'",
    )
    return next((pid for pid, is_waiting in found if is_waiting or not waits), None)


@contextlib.contextmanager
def frozen_in_its_statement(database: Database, server_url: str | None) -> Iterator[None]:
    """Freeze what the loader waits for."""
    if server_url is None:
        # Whoever listens at its socket.
        with (
            contextlib.closing(database.connect()) as connection,
            socket.socket(fileno=os.dup(connection.fileno())) as to,
        ):
            pid, _user, _group = struct.unpack("3i", to.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        with stopped(pid):
            yield
        return
    backend_pid = backend(database, waits=False)
    command = Path(f"/proc/{backend_pid}/cmdline")
    if backend_pid is None or not command.exists() or b"postgres" not in command.read_bytes():
        skips.skip(skips.ONLY_NATIVE, "the processes of this one are not on this machine")
    with contextlib.ExitStack() as stack:
        with database.transaction() as cursor:
            cursor.execute("LOCK TABLE stocks_real_time")
            wait_until("its statement waits", lambda: backend(database, waits=True))
            stack.enter_context(stopped(backend_pid))
        yield


@pytest.mark.full
def test_it_goes_on_where_it_was_and_nothing_is_lost_or_doubled(
    feed: FeedSettings,
    stand_in: StandIn,
    database: Database,
    server_url: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    ingestion = Ingestion(
        feed=feed, connector=connector, database=database, owner="test", journal_file=tmp_path / "frozen.sqlite3"
    )
    with ingestion:
        stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
        stand_in.send_exactly(1000, timeout_s=60)
        wait_until("ticks", lambda: ingestion.progress().loaded == 1000)
        stand_in.send_exactly(1000, timeout_s=60)
        with frozen_in_its_statement(database, server_url):
            until = time.monotonic() + FROZEN
            stand_in.send_exactly(3000, timeout_s=60)
            wait_until("the trouble is told", lambda: "no answer for" in (ingestion.progress().trouble or ""))
            wait_until("it is logged", lambda: "no answer for" in caplog.text)
            wait_until("the end of the freeze", lambda: time.monotonic() > until)
            assert not ingestion.wait(0), "it waits"
        wait_until("all ticks are stored", lambda: ingestion.progress().loaded == 5000)
        wait_until("the trouble is over", lambda: ingestion.progress().trouble is None)
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(5000, 5000)]
    assert unbalanced(database) == []
