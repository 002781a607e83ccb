"""A whole day of a market with extended hours, in which two seconds are an hour.

What was not received is in gaps, the night is not, and a repair makes ticks and candles exactly those that were made.
"""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import reconnect, session
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import FIELDS, KEY, close_gaps, polygon, repair
from ticks_platform_tests.support.trading_day import TradingDay
from ticks_standin import MadeEvent, StandIn, StandInSettings

pytestmark = pytest.mark.full

HOUR = timedelta(seconds=2)
SYMBOLS = ("AAPL", "MSFT")
CUTS = (5, 8, 12, 18)
"""Hours of the day; the market is open from 4 to 20, and in regular hours from 9:30 to 16."""

AWAY = 0.7
"""Seconds for which the provider cannot be reached at each cut."""

SLACK = timedelta(seconds=4)
"""A gap may be longer than AWAY by so much: up to two seconds until the next try, and a busy machine adds to it."""


def wait_until(moment: datetime) -> None:
    while (left := (moment - datetime.now(timezone.utc)).total_seconds()) > 0:
        time.sleep(left)


def at_hour(day: TradingDay, hour: float) -> datetime:
    return day.opens + (hour - 4) * HOUR


def a_day() -> TradingDay:
    """A day whose morning begins in some seconds."""
    midnight = datetime.fromtimestamp(math.ceil(time.time()) + 4, timezone.utc) - 4 * HOUR
    return TradingDay(*(midnight + hour * HOUR for hour in (4, 9.5, 16, 20)))


def ticks_of(feed: FeedSettings, events: list[MadeEvent]) -> list[Tick]:
    decode = feed.decoder()
    found = [event for made in events for event in decode(b"[" + made.payload + b"]")]
    assert all(isinstance(event, Tick) for event in found)
    return [event for event in found if isinstance(event, Tick)]


def test_a_day_with_cuts(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")
    # Waits between connections begin small again after ten seconds of data, which are hours of this day; so are the
    # times between pings, which show that a connection is alive at night.
    monkeypatch.setattr(reconnect, "STABLE_AFTER", 1.0)
    monkeypatch.setattr(session, "PING_INTERVAL", 0.5)
    day = a_day()
    settings = StandInSettings(
        rate=120,
        history_events=50_000,
        polygon_tape="plain",
        traded=[f"T.{symbol}" for symbol in SYMBOLS],
        **day.stand_in,
    )
    with StandIn(settings) as stand_in:
        feed = polygon(stand_in, symbols=SYMBOLS).model_copy(update={**day.feed, "stale_after_seconds": 0.5})
        ingestion = Ingestion(
            feed=feed,
            connector=feed.connector(),
            database=database,
            owner="test",
            journal_file=tmp_path / "tape.sqlite3",
        )
        with ingestion:  # before the market opens
            for hour in CUTS:
                wait_until(at_hour(day, hour))
                stand_in.go_away(AWAY)
            wait_until(at_hour(day, 21))
            stand_in.drop_connections()  # at night
            wait_until(at_hour(day, 24))
        with database.transaction() as cursor:
            gaps.update(cursor, feed.name, now=datetime.now(timezone.utc))
        made = stand_in.made(payloads=True).events
        assert len(made) > 120 * 16 * 2 * 0.9
        all_gaps_are_of_the_cuts(database, day)
        every_unsent_event_lies_in_a_gap(database, feed, made)

        history = feed.history()
        assert history is not None
        while True:  # a repair waits until all that the connections received near the gaps is loaded
            with database.transaction() as cursor:
                if len(repair_gaps.repairable(cursor, feed, history, tmp_path)) == len(CUTS) * len(SYMBOLS):
                    break
            time.sleep(0.2)
        assert repair(database, feed, tmp_path).left == 0
        assert close_gaps(database, feed).repaired == len(CUTS) * len(SYMBOLS)

    expected = ticks_of(feed, made)
    assert rows(database, f"SELECT {FIELDS} FROM stocks_real_time ORDER BY {FIELDS}") == sorted(
        (at(tick), tick.symbol, tick.price, tick.size, tick.exchange, tick.trade_id) for tick in expected
    )
    with database.autocommit() as cursor:
        for candle in CANDLES:
            candles.refresh_history(cursor, candle)
    assert rows(
        database,
        "SELECT bucket, symbol, open, high, low, close, volume, tick_count FROM one_minute_candle ORDER BY 1, 2",
    ) == minutes_of(expected)
    assert unbalanced(database) == []


def at(tick: Tick) -> datetime:
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=tick.time // 1000)


def all_gaps_are_of_the_cuts(database: Database, day: TradingDay) -> None:
    """Nothing else is one: not the night, nor the subscription before the open."""
    found = rows(
        database, "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap ORDER BY begins_at, symbol"
    )
    assert [(symbol, cause) for symbol, _, _, cause in found] == [
        (symbol, "disconnected") for _ in CUTS for symbol in SYMBOLS
    ], [(symbol, (begin - day.opens) / HOUR + 4, (end - day.opens) / HOUR + 4, by) for symbol, begin, end, by in found]
    for (symbol, begins_at, ends_at, _), hour in zip(found, [hour for hour in CUTS for _ in SYMBOLS], strict=True):
        cut = at_hour(day, hour)
        assert cut - SLACK < begins_at < cut + SLACK, symbol
        assert ends_at - begins_at < timedelta(seconds=AWAY) + SLACK, symbol
        assert day.opens <= begins_at < ends_at <= day.closes, symbol


def every_unsent_event_lies_in_a_gap(database: Database, feed: FeedSettings, made: list[MadeEvent]) -> None:
    stored = set(rows(database, "SELECT symbol, trade_id FROM stocks_real_time"))
    known = rows(database, "SELECT symbol, begins_at, ends_at FROM ticks_platform.feed_gap")
    hit = set()
    for event, tick in zip(made, ticks_of(feed, made), strict=True):
        if (tick.symbol, tick.trade_id) not in stored:
            moment = datetime.fromtimestamp(event.made_ms / 1000, timezone.utc)
            around = [gap for gap in known if gap[0] == tick.symbol and gap[1] <= moment < gap[2]]
            assert around, f"{tick.symbol} at {moment} is in no gap: {known}"
            hit.add(around[0])
    assert hit == set(known), "each gap has something to repair"


def minutes_of(ticks: list[Tick]) -> list[tuple[object, ...]]:
    """The candles of ticks, all of which count."""
    found: dict[tuple[datetime, str], list[Tick]] = {}
    for tick in sorted(ticks, key=lambda tick: tick.time):
        found.setdefault((at(tick).replace(second=0, microsecond=0), tick.symbol), []).append(tick)
    return [
        (
            *key,
            those[0].price,
            max(tick.price for tick in those),
            min(tick.price for tick in those),
            those[-1].price,
            pytest.approx(sum(tick.size or 0 for tick in those), rel=1e-12),
            len(those),
        )
        for key, those in sorted(found.items())
    ]
