"""A whole day as on a real tape: minutes are the stand-in's bars, which are made by rules of its own."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.repair import true_up
from ticks_platform.timescale import market_calendar, quality
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.market_calendar import Session, SymbolCalendars
from ticks_platform_tests.support import repairing
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import KEY, live_loader
from ticks_standin import PastDay, StandIn, StandInSettings

TUESDAY = date(2026, 3, 3)


def a_feed(day: PastDay) -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "tape", "provider": "polygon", "endpoint": "stand-in", "symbols": day.symbols, "api_key_env": KEY}
    )


def ingest(
    database: Database,
    day: PastDay,
    folder: Path,
    feed: FeedSettings | None = None,
    missed: tuple[datetime, datetime] | None = None,
) -> None:
    """Load the day's frames, but for those that came in the time that was missed."""
    feed = feed or a_feed(day)
    begin, end = (round(at.timestamp() * 1e9) for at in missed) if missed else (0, 0)
    with contextlib.closing(Journal(folder / "tape.sqlite3", feed="tape", synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        frames = [Frame(data, at, 1) for at, data in day.frames(300) if not begin <= at < end]
        journal.append(frames, epoch=1)
        journal.stop_appending()
        loader.run()


Minute = tuple[str, int]
"""A symbol, and the begin of a minute in milliseconds of UNIX time."""


def named_by_the_check(database: Database, feed: FeedSettings) -> set[Minute]:
    """The minutes that the check `candles_equal_bars` names, if it may look back so far and name all."""
    with database.transaction() as cursor:
        found = quality.against_bars(
            cursor,
            {feed.name: feed.tolerance},
            window=timedelta(days=10_000),
            settling=timedelta(minutes=15),
            examples=100_000,
        )
    assert found.differing == len(found.examples)
    return {
        (each["symbol"], round(datetime.fromisoformat(each["bucket"]).timestamp()) * 1_000) for each in found.examples
    }


def differing_minutes(database: Database, day: PastDay) -> set[Minute]:
    """The minutes whose candle is not the stand-in's bar, or whose volume is not that of its trades."""
    found = {
        (symbol, round(bucket.timestamp()) * 1_000): values
        for bucket, symbol, *values in rows(
            database, "SELECT bucket, symbol, open, high, low, close, volume FROM one_minute_candle"
        )
    }
    bars = {(symbol, bar["t"]): bar for symbol in day.symbols for bar in day.bars(symbol)}
    volumes = {(symbol, minute): volume for symbol in day.symbols for minute, volume in day.volumes(symbol).items()}
    assert len(found.keys() - bars.keys()) > len(found) / 2, "most minutes of a quiet symbol have odd lots only"
    differing = set()
    for minute in found.keys() | volumes.keys():
        *prices, volume = found.get(minute, [None] * 5)
        expected: list[Any] = [bars[minute][name] for name in "ohlc"] if minute in bars else [None] * 4
        if prices != expected or abs((volume or 0) - volumes.get(minute, 0)) > 1e-9 * max(volumes.get(minute, 0), 1):
            differing.add(minute)
    return differing


@pytest.mark.parametrize("symbols", [25, pytest.param(500, marks=pytest.mark.full)])
def test_minutes_are_the_bars_after_the_true_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, symbols: int
) -> None:
    """Before it, exactly the minutes differ whose trades were taken back, which only REST tells; a check names them."""
    monkeypatch.setenv(KEY, "demo")
    day = PastDay(TUESDAY, symbols=symbols, taken_back=0.002)
    taken_back = {(each.symbol, each.minute_ms) for each in day.taken_back()}
    assert taken_back
    with StandIn(StandInSettings(rate=0, history_events=100_000)) as stand_in:
        stand_in.play_day(TUESDAY, symbols=symbols, taken_back=0.002, send=False)
        feed = repairing.polygon(stand_in, symbols=day.symbols, requests_per_minute=10_000, requests_per_day=10_000)
        # A stand-in's feed never closes, and its day is that of UTC.
        feed = feed.model_copy(update={"calendar": "XNYS"})
        ingest(database, day, tmp_path, feed)
        with database.autocommit() as cursor:
            for candle in candles.CANDLES:
                candles.refresh_history(cursor, candle)
        assert differing_minutes(database, day) == taken_back
        # Minutes of odd lots have no bar that could tell; `true_up: trades` finds them.
        bars = {(symbol, bar["t"]) for symbol in day.symbols for bar in day.bars(symbol)}
        priced = {
            (symbol, round(bucket.timestamp()) * 1_000)
            for symbol, bucket in rows(database, "SELECT symbol, bucket FROM one_minute_candle WHERE price_count > 0")
        }
        history = feed.history()
        assert history is not None
        what: Any = {"feed": feed, "history": history, "database": database, "day": TUESDAY, "owner": "test"}
        true_up.fetch(**what, seconds=600.0, folder=tmp_path)
        # The check knows less: it has no candle before the first one, and a bar may follow the last one.
        first = {symbol: min(day.volumes(symbol)) for symbol in day.symbols}
        spans = {symbol: [bar["t"] for bar in day.bars(symbol)] for symbol in day.symbols}
        between = {(symbol, at) for symbol, at in priced if min(spans[symbol]) < at < max(spans[symbol])}
        assert named_by_the_check(database, feed) == taken_back & (bars | between) - set(first.items())
        report = true_up.run(**what, seconds=600.0, folder=tmp_path)
    assert (report.symbols, report.done, report.still_differing) == (symbols, symbols, 0)
    assert report.differed == len(taken_back & (bars | priced))
    assert differing_minutes(database, day) <= taken_back - bars - priced
    assert named_by_the_check(database, feed) == set()
    assert unbalanced(database) == []


@pytest.mark.full
def test_hours_and_the_trading_day_are_its_bars_too(database: Database, tmp_path: Path) -> None:
    day = PastDay(TUESDAY, symbols=100, taken_back=0.0)
    ingest(database, day, tmp_path)
    midnight = datetime(2026, 3, 3, 5, tzinfo=timezone.utc)
    opens, closes = midnight + timedelta(hours=9.5), midnight + timedelta(hours=16)
    session = Session(opens, closes, TUESDAY, midnight, midnight + timedelta(days=1))
    with database.transaction() as cursor:
        calendars = {("tape", symbol): SymbolCalendars("XNYS", "XNYS 04:00-20:00") for symbol in day.symbols}
        month = midnight - timedelta(days=2), midnight + timedelta(days=28)
        market_calendar.keep(cursor, {"XNYS": [session]}, calendars, begin=month[0], end=month[1])
    hours = {
        (symbol, round(bucket.timestamp()) * 1_000): prices
        for symbol, bucket, *prices in rows(
            database, "SELECT symbol, bucket, open, high, low, close FROM one_hour_candle WHERE open IS NOT NULL"
        )
    }
    assert hours == {
        (symbol, bar["t"]): [bar[name] for name in "ohlc"] for symbol in day.symbols for bar in day.bars(symbol, "hour")
    }
    days = {
        symbol: (prices, volume)
        for symbol, volume, *prices in rows(
            database,
            "SELECT symbol, volume, open, high, low, close FROM session_day_candle WHERE session = '2026-03-03'",
        )
    }
    assert len(days) == 100
    for symbol, (prices, volume) in days.items():
        bar = day.day_bar(symbol)
        assert bar is not None
        assert prices == [bar[name] for name in "ohlc"], symbol
        assert volume == pytest.approx(bar["v"], rel=1e-9)


def test_official_prices_are_kept_and_no_ticks(database: Database, tmp_path: Path) -> None:
    day = PastDay(TUESDAY, symbols=60, taken_back=0.0)
    ingest(database, day, tmp_path)
    closes = dict(
        rows(
            database,
            "SELECT DISTINCT ON (symbol) symbol, price FROM official_price WHERE kind IN ('close', 'corrected_close') "
            "ORDER BY symbol, kind = 'close', is_primary DESC, size DESC, time DESC",
        )
    )
    bars = {symbol: day.day_bar(symbol) for symbol in day.symbols}
    assert len(closes) > 50
    assert {symbol: (bars[symbol] or {})["c"] for symbol in closes} == closes
    ((count,),) = rows(database, "SELECT count(*) FROM stocks_real_time WHERE conditions && '{15,16,38}'::smallint[]")
    assert count == 0
    ((sessions,),) = rows(database, "SELECT array_agg(DISTINCT session) FROM official_price")
    assert sessions == [TUESDAY]


def served(database: Database) -> tuple[datetime, dict[str, Any]]:
    """A moment, and all that the candles of minutes and hours show then."""
    with database.autocommit() as cursor:
        for candle in candles.CANDLES:
            candles.refresh_history(cursor, candle)
    found = {}
    for candle in ("one_minute_candle", "one_hour_candle"):
        query = f"SELECT jsonb_agg(to_jsonb(candle) ORDER BY symbol, bucket) FROM {candle} AS candle"
        ((found[candle],),) = rows(database, query)
    ((moment,),) = rows(database, "SELECT clock_timestamp()")
    return moment, found


def rounded(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Candles whose volume does not tell in which order its sizes were added."""
    return [{**candle, "volume": candle["volume"] and round(candle["volume"], 6)} for candle in found]


@pytest.mark.full
def test_what_was_served_before_a_repair_and_before_the_true_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`candles_as_of` still tells it afterwards."""
    monkeypatch.setenv(KEY, "demo")
    day = PastDay(TUESDAY, symbols=12, taken_back=0.02)
    assert day.taken_back()
    missed = (datetime(2026, 3, 3, 15, 10, 30, tzinfo=timezone.utc), datetime(2026, 3, 3, 15, 47, tzinfo=timezone.utc))
    with StandIn(StandInSettings(rate=0, history_events=100_000)) as stand_in:
        stand_in.play_day(TUESDAY, symbols=12, taken_back=0.02, send=False)
        feed = repairing.polygon(stand_in, symbols=day.symbols, requests_per_minute=10_000, requests_per_day=10_000)
        feed = feed.model_copy(update={"calendar": "XNYS"})
        ingest(database, day, tmp_path, feed, missed)
        seen = [served(database)]
        for symbol in day.symbols:
            repairing.add_gap(database, feed, symbol, *missed)
        assert repairing.repair(database, feed, tmp_path).left == 0
        assert repairing.close_gaps(database, feed).repaired == len(day.symbols)
        seen.append(served(database))
        history = feed.history()
        assert history is not None
        report = true_up.run(
            feed=feed, history=history, database=database, day=TUESDAY, owner="test", seconds=600.0, folder=tmp_path
        )
        assert (report.done, report.corrections > 0) == (len(day.symbols), True)
        seen.append(served(database))
    assert seen[0][1] != seen[1][1] != seen[2][1]
    assert unbalanced(database) == []
    for moment, candles_then in seen:
        for width, (candle, expected) in zip(("1 minute", "1 hour"), candles_then.items(), strict=True):
            columns = ", ".join(expected[0])
            query = (
                f"SELECT jsonb_agg(to_jsonb(candle) ORDER BY symbol, bucket) FROM (SELECT {columns} FROM "
                f"unnest('{{{','.join(day.symbols)}}}'::text[]) AS of (name), LATERAL candles_as_of(name, '{width}', "
                f"'2026-03-03', '2026-03-05', '{moment.isoformat()}')) AS candle"
            )
            ((found,),) = rows(database, query)
            assert rounded(found) == rounded(expected), f"{candle} as of {moment}"
