"""Ticks that come late, out of order, or twice: the candles of every level are those of the ticks in the end."""

from __future__ import annotations

import io
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from ticks_platform.feeds.events import Tick
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale.candles import candles, late_ticks
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle
from ticks_platform.timescale.database import Database
from ticks_platform_tests.conftest import make_policies

NANOSECONDS = 1_000_000_000
ROUNDS = int(os.environ.get("TICKS_CANDLE_ROUNDS", "7"))
"""Each of as many seeds; the first two are part of `make test`."""
SEEDS_A_ROUND = 50
LEVELS = {"minute": ONE_MINUTE, "hour": ONE_HOUR, "day": ONE_DAY}
TODAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)

# Candles that are not what plain SQL, without first() and last(), makes of the ticks.
DIFFERING = """
WITH truth AS (
    SELECT bucket, symbol, (array_agg(price ORDER BY tick_id))[1] AS open, max(price) AS high, min(price) AS low,
        (array_agg(price ORDER BY tick_id DESC))[1] AS close,
        (array_agg(day_volume ORDER BY tick_id DESC))[1] AS day_volume, sum(size) AS volume, count(*) AS tick_count
    FROM (
        SELECT *, date_trunc('{unit}', time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS bucket FROM stocks_real_time
        WHERE time >= %(begin)s AND time < %(end)s
    ) AS ticks
    GROUP BY bucket, symbol
), found AS (
    SELECT bucket, symbol, open, high, low, close, day_volume, volume, tick_count FROM one_{unit}_candle
    WHERE bucket >= %(begin)s AND bucket < %(end)s
)
(SELECT 'missing' AS what, * FROM (TABLE truth EXCEPT TABLE found) AS missing)
UNION ALL
(SELECT 'wrong', * FROM (TABLE found EXCEPT TABLE truth) AS wrong)
"""


@pytest.fixture
def loaded(database: Database) -> Database:
    """A database that knows the feed `test`."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('test', 'twelve_data', true)"
        )
    return database


@pytest.fixture
def refreshes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, datetime, datetime]]:
    """Every refresh that is asked of the database from here on."""
    asked: list[tuple[str, datetime, datetime]] = []
    real = candles.refresh

    def refresh(cursor: object, candle: Candle, begin: datetime, end: datetime) -> None:
        asked.append((candle.name, begin, end))
        real(cursor, candle, begin, end)  # type: ignore[arg-type]

    monkeypatch.setattr(candles, "refresh", refresh)
    return asked


def load(database: Database, ticks: Sequence[tuple[int, Tick]]) -> None:
    """Store ticks, given with their positions, and count them as the loader does, in one transaction."""
    batch = Rows(
        [tick for _, tick in ticks],
        np.array([position for position, _ in ticks], dtype=np.int64),
        np.full(len(ticks), max(tick.time for _, tick in ticks), dtype=np.int64),
    )
    with database.transaction() as cursor:
        cursor.copy_expert(
            f"COPY stocks_real_time ({', '.join(TICKS.columns)}) FROM STDIN (FORMAT binary)",
            io.BytesIO(TICKS.encode(batch, "test", 1)),
        )
        ledger.add_hours(cursor, "test", "stocks_real_time", ledger.hours([batch]))


def tick(position: int, at: datetime, price: float, symbol: str = "AAPL") -> tuple[int, Tick]:
    return position, Tick(symbol, int(at.timestamp()) * NANOSECONDS, price, position, size=float(position % 9))


def minutely(begin: datetime, hours: int, first: int = 1) -> list[tuple[int, Tick]]:
    return [
        tick(first + minute, begin + timedelta(minutes=minute), 100 + minute % 7, symbol)
        for minute in range(0, hours * 60, 10)
        for symbol in ("AAPL", "BTC/USD")
    ]


def differing(
    database: Database, begin: datetime = TODAY - timedelta(days=4000), end: datetime = TODAY + timedelta(days=2)
) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        found = []
        for unit in LEVELS:
            cursor.execute(DIFFERING.format(unit=unit), {"begin": begin, "end": end})
            found += [(unit, *row) for row in cursor.fetchall()]
    return found


def catch_up(database: Database) -> late_ticks.Late:
    with database.autocommit() as cursor:
        return late_ticks.refresh(cursor)


def begins(buckets: Sequence[late_ticks.Bucket]) -> list[datetime]:
    return [bucket.begin for bucket in buckets]


def test_ticks_hours_and_days_late_reach_every_level_and_nothing_else_is_refreshed(
    loaded: Database, refreshes: list[tuple[str, datetime, datetime]]
) -> None:
    days = [TODAY - timedelta(days=age) for age in (9, 8, 1)]
    for number, day in enumerate(days):
        load(loaded, minutely(day + timedelta(hours=2), 10, 10_000 * number))
    first = catch_up(loaded)
    assert len(first.hours) == 30
    assert begins(first.days) == days
    assert len(refreshes) == 9, "hours side by side are refreshed as one"
    assert differing(loaded) == []

    refreshes.clear()
    assert catch_up(loaded) == ([], [])
    assert refreshes == [], "what has not changed costs nothing"

    late = [days[0] + timedelta(hours=5, minutes=1), days[0] + timedelta(hours=7), days[2] + timedelta(hours=11)]
    load(loaded, [tick(90_000 + number, at, 500.0 + number) for number, at in enumerate(late)])
    units = {row[0] for row in differing(loaded)}
    assert units == {"minute", "hour", "day"}, "real-time aggregation does not show what comes below its watermark"
    again = catch_up(loaded)
    hour = timedelta(hours=1)
    assert begins(again.hours) == [days[0] + 5 * hour, days[0] + 7 * hour, days[2] + 11 * hour]
    assert begins(again.days) == [days[0], days[2]]
    assert [(name, begin, end - begin) for name, begin, end in refreshes if name != "one_day_candle"] == [
        (name, begin, hour) for begin in begins(again.hours) for name in ("one_minute_candle", "one_hour_candle")
    ]
    assert differing(loaded) == []
    refreshes.clear()
    assert catch_up(loaded) == ([], [])
    assert refreshes == []


def test_what_the_policies_reach_is_left_to_them(loaded: Database) -> None:
    with loaded.transaction() as cursor:
        make_policies(cursor)
    now = datetime.now(timezone.utc)
    inside = [now - timedelta(hours=1, minutes=5), now - timedelta(minutes=1)]
    outside = now - timedelta(hours=5)
    load(loaded, [tick(number, at, 10.0) for number, at in enumerate([*inside, outside], start=1)])
    late = catch_up(loaded)
    assert begins(late.hours) == [candles.floor(outside, ONE_HOUR)]


def test_an_open_hour_is_not_materialized(loaded: Database) -> None:
    now = datetime.now(timezone.utc)
    load(loaded, [tick(1, now, 10.0)])
    assert catch_up(loaded) == ([], [])
    load(loaded, [tick(2, now, 11.0)])
    assert differing(loaded) == []


def test_a_batch_that_is_committed_during_a_refresh_is_not_forgotten(
    loaded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was counted earlier than the refresh began, as its clock says, and seen by nobody."""
    at = TODAY - timedelta(days=5)
    load(loaded, [tick(1, at, 10.0)])
    record = late_ticks._record

    def meanwhile(*arguments: object) -> None:
        monkeypatch.setattr(late_ticks, "_record", record)
        load(loaded, [tick(2, at, 99.0)])
        with loaded.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_hour SET changed_at = now() - INTERVAL '1 hour'")
        record(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(late_ticks, "_record", meanwhile)
    catch_up(loaded)
    assert differing(loaded) != []
    assert begins(catch_up(loaded).hours) == [at]
    assert differing(loaded) == []


def test_a_late_tick_of_a_dropped_day_does_not_replace_its_candles(loaded: Database) -> None:
    dropped, kept = TODAY - timedelta(days=20), TODAY - timedelta(days=3)
    load(loaded, minutely(dropped, 5))
    load(loaded, minutely(kept, 5, 10_000))
    catch_up(loaded)

    def hours() -> list[tuple[object, ...]]:
        with loaded.transaction() as cursor:
            cursor.execute("SELECT * FROM one_hour_candle ORDER BY bucket, symbol")
            return cursor.fetchall()

    before = hours()
    assert len(before) == 20
    with loaded.transaction() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', %s::timestamptz)", (kept,))
    load(loaded, [tick(20_000, dropped + timedelta(minutes=1), 1.0)])
    assert catch_up(loaded) == ([], [])
    with loaded.autocommit() as cursor:
        for candle in LEVELS.values():
            candles.refresh_history(cursor, candle)
    assert hours() == before


def arrivals(seed: int, begin: datetime) -> Iterator[list[tuple[int, Tick]]]:
    """One symbol's ticks of two days in batches: in any order, some as two ticks, some long after the others."""
    seeded = random.Random(seed)
    ticks = []
    for position in range(1, seeded.randrange(15, 40)):
        second = begin + timedelta(seconds=seeded.choice([seeded.randrange(172_800), 86_340 + seeded.randrange(120)]))
        ticks.append(tick(position, second, round(seeded.uniform(90, 110), 2), f"S{seed}"))
    ticks += [(1000 + position, twin) for position, twin in seeded.sample(ticks, 5)]
    seeded.shuffle(ticks)
    while ticks:
        size = seeded.randrange(1, 20)
        yield ticks[:size]
        del ticks[:size]


def refresh_something(database: Database, seeded: random.Random, begin: datetime) -> None:
    """Any level, in any order, over any part of the two days, or the catch-up, or nothing."""
    with database.autocommit() as cursor:
        for _ in range(seeded.randrange(3)):
            start = begin + timedelta(hours=seeded.randrange(40))
            end = start + timedelta(hours=seeded.randrange(1, 30))
            candles.refresh(cursor, seeded.choice([ONE_MINUTE, ONE_HOUR, ONE_DAY]), start, end)
    if seeded.random() < 0.3:
        catch_up(database)


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=pytest.mark.full if number > 1 else ()) for number in range(ROUNDS)]
)
def test_candles_are_those_of_the_ticks_whatever_the_order_of_arrival(loaded: Database, number: int) -> None:
    """Each seed is a symbol; those of one round share two days, and the refreshes in between."""
    seeded = random.Random(-1 - number)
    begin = TODAY - timedelta(days=3 * number + 5)
    seeds = range(number * SEEDS_A_ROUND, (number + 1) * SEEDS_A_ROUND)
    for batches in itertools.zip_longest(*(arrivals(seed, begin) for seed in seeds), fillvalue=[]):
        load(loaded, list(itertools.chain(*batches)))
        refresh_something(loaded, seeded, begin)
    catch_up(loaded)
    assert differing(loaded, begin, begin + timedelta(days=2)) == [], f"seeds {seeds}, each the symbol of its name"
