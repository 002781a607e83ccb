"""Rows by hand of a symbol that a feed streams: told, and kept out of the candles by a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import CheckOne, refresh
from ticks_platform_tests.support.ingestion import rows

HOUR = timedelta(hours=1)
# An hour whose first minutes are over.
NOW = (datetime.now(timezone.utc) - timedelta(minutes=5)).replace(minute=0, second=0, microsecond=0)


def store(database: Database, hour: datetime) -> None:
    """In the hour, a feed's ticks of AAPL, and rows by hand of AAPL and of MSFT, which no feed streams then."""
    with database.transaction() as cursor:
        for minute in range(3):
            at = hour + timedelta(minutes=minute)
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
                "VALUES (%s, 'AAPL', 250, %s, 'stocks', %s)",
                (at, f"{round(at.timestamp() * 1000):012x}70008000000000000001", at),
            )
            for symbol in ("AAPL", "MSFT"):
                cursor.execute(
                    "INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES (%s, %s, 300, 7)",
                    (at + timedelta(seconds=1), symbol),
                )


def marks(database: Database) -> dict[tuple[str, str], list[int | None]]:
    query = "SELECT feed, symbol, array_agg(updates ORDER BY time) FROM stocks_real_time GROUP BY feed, symbol"
    return {(feed, symbol): updates for feed, symbol, updates in rows(database, query)}


@pytest.fixture
def run(load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Callable[[bool], bool]:
    def run_job(dry_run: bool) -> bool:
        job = load().resolve_job_def("apply_primary_feeds")
        config = {"ops": {"mark_secondary_ticks": {"config": {"dry_run": dry_run}}}}
        return job.execute_in_process(run_config=config, instance=instance, raise_on_error=False).success

    return run_job


@pytest.mark.parametrize(
    ("age", "check"),
    [
        (timedelta(0), "symbols_have_one_primary_feed"),
        pytest.param(timedelta(days=9), "rows_by_hand_are_no_copies", marks=pytest.mark.full),
    ],
)
def test_copies_are_told_and_marked(
    database: Database, check_one: CheckOne, run: Callable[[bool], bool], age: timedelta, check: str
) -> None:
    store(database, NOW - age)
    if age:
        rows(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")
    refresh(database)
    told = check_one(check, "stocks_real_time")
    assert not told.passed
    assert told.description == "3 rows by hand are in the candles of AAPL, which feed stocks makes"
    assert "apply_primary_feeds" in str(told.metadata["to mend it"].value)

    assert run(True)
    assert marks(database)["manual", "AAPL"] == [None] * 3
    assert run(False)
    assert marks(database) == {
        ("stocks", "AAPL"): [None] * 3,
        ("manual", "AAPL"): [23] * 3,
        ("manual", "MSFT"): [None] * 3,
    }
    closes = rows(database, "SELECT symbol, close FROM one_minute_candle ORDER BY symbol, bucket")
    assert closes == [("AAPL", 250.0)] * 3 + [("MSFT", 300.0)] * 3
    assert check_one(check, "stocks_real_time").passed

    # When the feed's ticks make no candles, those by hand do.
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM stocks_real_time WHERE feed = 'stocks'")
    assert run(False)
    assert marks(database)["manual", "AAPL"] == [None] * 3


def test_in_a_gap_of_the_feed_they_are_welcome(database: Database, check_one: CheckOne) -> None:
    store(database, NOW)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'twelve_data', true);"
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('stocks', 'AAPL', %s, %s, 'killed')",
            (NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)),
        )
    told = check_one("symbols_have_one_primary_feed", "stocks_real_time")
    assert told.description == "2 rows by hand are in the candles of AAPL, which feed stocks makes"
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'repaired'")
    told = check_one("symbols_have_one_primary_feed", "stocks_real_time")
    assert told.description == "3 rows by hand are in the candles of AAPL, which feed stocks makes"


@pytest.mark.full
def test_day_volume_of_history_that_comes_newest_first_is_monotone(database: Database, check_one: CheckOne) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, day_volume) "
            "SELECT %s - number * INTERVAL '7 seconds', 'MSFT', 300, 10000 - number "
            "FROM generate_series(1, 500) AS number",
            (NOW,),
        )
    refresh(database)
    verdict = check_one("day_volume_is_monotone")
    assert verdict.passed
    ((volumes, day_volumes),) = rows(
        database, "SELECT count(volume), count(day_volume) = count(*) FROM one_minute_candle WHERE symbol = 'MSFT'"
    )
    assert (volumes, day_volumes) == (0, True)
