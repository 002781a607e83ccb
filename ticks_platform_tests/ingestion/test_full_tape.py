"""The whole US market through one connection: 11,000 symbols, 60,000 trades in a second."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.timing import within
from ticks_standin import StandInProcess, StandInSettings
from ticks_standin.polygon.tape import names

SYMBOLS, LISTED, BURST = 11_000, 12_000, 60_000
INTERVAL = 10.0
"""Seconds from burst to burst."""

UNREAD = 4 << 20
"""Bytes that a client may leave unread until it is cut off: less than half of a burst."""

MEGABYTES = 250


def eventually(what: str, condition: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def megabytes(pid: int) -> float:
    """The proportional share of memory of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@pytest.mark.full
@pytest.mark.parametrize("listed", [False, True], ids=["by star", "listed"])
def test_bursts_of_the_whole_market_are_stored_in_time(
    tmp_path: Path, database: Database, database_url: str, listed: bool
) -> None:
    symbols = list(names(LISTED, frozenset())) if listed else ["*"]
    settings = StandInSettings(rate=0, max_connections=10, load_symbols=SYMBOLS, slow_consumer_bytes=UNREAD)
    with StandInProcess(settings) as server:
        feed = {
            **{"provider": "polygon", "endpoint": server.url("polygon", key=None), "synthetic_endpoint": True},
            **{"api_key_env": "TICKS_TEST_KEY", "options": {"market": "stocks", "channels": ["T"]}, "symbols": symbols},
        }
        (tmp_path / "feeds.yaml").write_text(yaml.safe_dump({"feeds": {"tape": feed}}), encoding="utf-8")
        environment = {
            **os.environ,
            **{"TICKS_DATABASE_URL": database_url, "TICKS_PROJECT_DIR": str(tmp_path), "TICKS_TEST_KEY": "demo"},
            "TICKS_STATE_DIR": str(tmp_path / "state"),
        }
        command = [sys.executable, "-m", "ticks_platform.cli.main", "ingest", "tape", "--quiet"]
        with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
            try:
                eventually("a connection", lambda: server.account().connections)
                began = time.monotonic()
                server.wait_until_subscribed(f"T.{symbols[0]}", f"T.{symbols[-1]}", timeout_s=120)
                if time.monotonic() - began > 10.0:
                    # A busy machine delays the server as well: what counts is the client's own time.
                    assert cpu_seconds(process.pid) < 10.0
                eventually("the answers are accounted for", lambda: events(database) >= len(symbols))
                before = events(database)

                def burst() -> float:
                    began, target = time.monotonic(), sent(server) + BURST
                    server.load(BURST)
                    # A second, unless the stand-in cannot make them as fast here.
                    eventually("it is sent", lambda: sent(server) >= target)
                    server.load(0)
                    eventually("it is loaded", lambda: events(database) - before >= sent(server))
                    assert megabytes(process.pid) < MEGABYTES
                    return time.monotonic() - began

                for _ in range(2):
                    within(INTERVAL, burst)
                assert len(server.account().connections) == 1, "it was cut off as too slow"
                total = sent(server)
            finally:
                process.terminate()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(total,)]
    assert unbalanced(database) == []
    covered = rows(database, "SELECT count(DISTINCT symbol) FROM ticks_platform.feed_coverage")
    assert covered == [(len(symbols),)], "coverage is that of the subscription"
    recorded = rows(database, "SELECT symbol FROM ticks_platform.wildcard_symbol ORDER BY symbol")
    came = rows(database, "SELECT DISTINCT symbol FROM stocks_real_time ORDER BY symbol")
    assert recorded == ([] if listed else came), "by which its candles are proven"


def events(database: Database) -> int:
    """Events in the account."""
    return int(rows(database, "SELECT coalesce(sum(events), 0)::bigint FROM ticks_platform.feed_ledger")[0][0])


def sent(server: StandInProcess) -> int:
    """Trades that the stand-in has sent."""
    return sum(sum(each.events.values()) for each in server.account().connections)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
