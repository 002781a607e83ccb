"""The tutorial's script beside a feed of ours: its INSERT goes into our table, candles are right, the account is green.

`TICKS_TUTORIAL_SECONDS=600` runs it for ten minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import psycopg2
import pytest

from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import tutorial_script
from ticks_platform_tests.support.by_hand import MINUTE, Row, made_of, stored
from ticks_platform_tests.support.candles import CheckOne
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_standin import StandIn, StandInSettings

SECONDS = float(os.environ.get("TICKS_TUTORIAL_SECONDS", "12"))
RATE = 200
OURS = ["AAPL", "BTC/USD"]
OTHERS = ["MSFT", "ETH/USD"]

FEEDS = """
feeds:
  stocks: {{provider: twelve_data, endpoint: '{url}', synthetic_endpoint: true, api_key_env: TUTORIAL_KEY,
    calendar: always, symbols: [AAPL, BTC/USD]}}
"""
ACCOUNT = ("ledger_balances", "every_tick_is_there", "ticks_are_fresh", "channels_are_streaming")
CANDLE_CHECKS = ("candles_equal_ticks", "no_ticks_from_the_future", "ohlc_invariants", "no_duplicate_bucket")


@pytest.fixture
def standing_in() -> Iterator[StandIn]:
    with StandIn(StandInSettings(rate=RATE, max_connections=8)) as server:
        yield server


@pytest.fixture
def ours(
    project: Path, database: Database, standing_in: StandIn, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """A feed of ours that is ingested."""
    url = standing_in.url("twelve_data", key=None)
    (project / "feeds.yaml").write_text(FEEDS.format(url=url), encoding="utf-8")
    monkeypatch.setenv("TUTORIAL_KEY", "demo")
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)
    command = [sys.executable, "-m", "ticks_platform.cli.main", "ingest", "stocks"]
    process = subprocess.Popen(command, cwd=project, env=dict(os.environ))
    standing_in.wait_until_subscribed(*OURS)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def truth(given: list[Row]) -> dict[tuple[datetime, str], tuple[object, ...]]:
    return made_of(given, MINUTE)


def refresh(database: Database, begin: datetime) -> None:
    with database.autocommit() as cursor:
        for candle in CANDLES:
            candles.refresh(cursor, candle, candles.floor(begin, candle), datetime.now(timezone.utc))


@pytest.mark.full
@pytest.mark.parametrize("symbols", [OTHERS, [*OURS, "MSFT"]], ids=["other symbols", "the same symbols"])
def test_the_tutorials_script_beside_a_feed_of_ours(
    ours: subprocess.Popen[bytes],
    database: Database,
    standing_in: StandIn,
    check_one: CheckOne,
    load: Callable[[], dg.Definitions],
    instance: dg.DagsterInstance,
    tmp_path: Path,
    symbols: list[str],
) -> None:
    begin = datetime.now(timezone.utc)
    told = tmp_path / "told.jsonl"
    url, rest = standing_in.url("twelve_data"), standing_in.http_url
    arguments = [url, rest, database.url(), str(told), str(SECONDS), *symbols]
    script = subprocess.Popen([sys.executable, tutorial_script.__file__, *arguments])
    deadline = time.monotonic() + SECONDS + 60
    while script.poll() is None:
        assert time.monotonic() < deadline
        assert ours.poll() is None
        refresh(database, begin)
        time.sleep(min(2, SECONDS / 10))
    assert script.returncode == 0
    fresh = [check_one(name, "stocks_real_time") for name in ACCOUNT]
    ours.send_signal(signal.SIGTERM)
    ours.wait(30)
    assert [check.description for check in fresh if not check.passed] == []

    lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    by_hand = [Row(datetime.fromtimestamp(at, timezone.utc), *rest_of_it) for at, *rest_of_it in lines]
    query = "SELECT time, symbol, price, day_volume FROM stocks_real_time WHERE feed = 'stocks' ORDER BY tick_id"
    streamed = [Row(*row) for row in rows(database, query)]
    assert len(by_hand) >= SECONDS * 20
    assert len(streamed) >= SECONDS * 20
    assert rows(database, "SELECT count(*) FROM stocks_real_time WHERE feed = 'manual'") == [(len(by_hand),)]

    both = set(symbols) & set(OURS)
    said = check_one("symbols_have_one_primary_feed", "stocks_real_time")
    assert said.passed is not bool(both)
    if both:
        assert f"rows by hand are in the candles of {', '.join(sorted(both))}, which feed stocks makes" in str(
            said.description
        )
        done = (
            load()
            .resolve_job_def("apply_primary_feeds")
            .execute_in_process(
                run_config={"ops": {"mark_secondary_ticks": {"config": {"dry_run": False}}}}, instance=instance
            )
        )
        assert done.success
        assert check_one("symbols_have_one_primary_feed", "stocks_real_time").passed
    refresh(database, begin)
    # What is secondary is counted, and makes nothing.
    expected = truth(streamed + [row for row in by_hand if row.symbol not in both])
    counted = truth(streamed + by_hand)
    made = stored(database)
    assert {key: candle[:-1] for key, candle in made.items() if candle[0] is not None} == {
        key: candle[:-1] for key, candle in expected.items()
    }
    assert {key: candle[-1] for key, candle in made.items()} == {key: candle[-1] for key, candle in counted.items()}
    assert unbalanced(database) == []
    for name in CANDLE_CHECKS:
        verdict = check_one(name)
        assert verdict.passed, verdict.description
    assert check_one("day_volume_is_monotone").passed
    with psycopg2.connect(database.url()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT feed FROM ticks_platform.feed_ledger")
        assert cursor.fetchall() == [("stocks",)]
    print(f"{len(streamed)} ticks of ours, {len(by_hand)} rows by hand, {len(made)} candles of a minute")
