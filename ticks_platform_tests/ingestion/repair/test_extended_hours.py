"""Repairs outside regular hours, which Twelve Data serves with `prepost=true` only, and not to every plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ticks_platform.feeds.events import Bar
from ticks_platform.feeds.history import Header, HistoryAnswer, KeyRefusedError, NotEntitledError, Span
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory
from ticks_platform.ingestion.gaps import coverage
from ticks_platform.ingestion.gaps.coverage import ConfiguredSymbols
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import to_nanoseconds
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.repairing import KEY, add_gap, close_gaps, minutes_ago, repair, twelve_data
from ticks_platform_tests.support.trading_day import TradingDay
from ticks_standin import StandIn, StandInSettings

HISTORY = TwelveDataHistory(url="ws://127.0.0.1:1/v1/quotes/price", api_key="demo")


@contextmanager
def cut(database: Database, *, plan: bool, **repair: Any) -> Iterator[tuple[StandIn, FeedSettings]]:
    """A gap from 25 to 15 minutes ago; regular hours were from 22 to 18 minutes ago, extended ones from 30 to 10."""
    day = TradingDay(minutes_ago(30), minutes_ago(22), minutes_ago(18), minutes_ago(10))
    settings = StandInSettings(
        rate=0, history_events=10_000, traded=["price.AAPL"], twelve_data_prepost=plan, **day.stand_in
    )
    with StandIn(settings) as stand_in:
        stand_in.trade_unheard(600, minutes_ago(30), minutes_ago(10))
        feed = twelve_data(stand_in, **repair).model_copy(update=day.feed)
        add_gap(database, feed, "AAPL", minutes_ago(25), minutes_ago(15))
        with database.transaction() as cursor:
            configured = ConfiguredSymbols(to_nanoseconds(minutes_ago(40)), {"AAPL": day.calendar})
            coverage.record_symbols(cursor, feed.name, configured, epoch=1)
        yield stand_in, feed


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


def gaps(database: Database) -> list[tuple[int, int, str, int]]:
    """Begin and end in minutes ago, state, repaired rows."""
    found = rows(
        database,
        "SELECT begins_at, ends_at, state, rows_repaired FROM ticks_platform.feed_gap ORDER BY begins_at",
    )
    now = minutes_ago(0)
    minute = timedelta(minutes=1)
    return [(round((now - begin) / minute), round((now - end) / minute), *rest) for begin, end, *rest in found]


def bars(database: Database) -> list[tuple[datetime, float | None]]:
    return rows(database, "SELECT start_time, volume FROM stock_aggregates ORDER BY start_time")


def test_a_gap_is_repaired_with_the_minutes_outside_regular_hours(database: Database, tmp_path: Path) -> None:
    with cut(database, plan=True) as (stand_in, feed):
        assert repair(database, feed, tmp_path).left == 0
        assert close_gaps(database, feed).repaired == 1
        assert gaps(database) == [(25, 15, "repaired", 10)]
        assert [at for at, _ in bars(database)] == [minutes_ago(count) for count in range(25, 15, -1)]
        regular = [at for at, volume in bars(database) if volume]
        assert regular == [minutes_ago(count) for count in range(22, 18, -1)]
        asked = [request.asked.get("prepost") for request in stand_in.requests("/time_series")]
        assert asked == [None, "true"], "regular hours first"
        assert repair(database, feed, tmp_path).requests == 0


def test_a_plan_without_them_does_not_keep_regular_hours_from_being_repaired(
    database: Database, tmp_path: Path
) -> None:
    with cut(database, plan=False) as (_, feed):
        assert repair(database, feed, tmp_path).left == 0
        closed = close_gaps(database, feed)
        assert (closed.repaired, closed.unrepairable, closed.left) == (1, 2, 0)
        assert gaps(database) == [(25, 22, "unrepairable", 0), (22, 18, "repaired", 4), (18, 15, "unrepairable", 0)]
        assert [at for at, _ in bars(database)] == [minutes_ago(count) for count in range(22, 18, -1)]
        details = rows(database, "SELECT detail FROM ticks_platform.feed_gap WHERE state = 'unrepairable'")
        for (detail,) in details:
            assert detail.startswith("outside regular hours: AAPL: Twelve Data answered 403: prepost is available")
        assert repair(database, feed, tmp_path).requests == 0, "nothing is asked again"


def test_what_is_too_young_waits_and_the_rest_is_repaired(database: Database, tmp_path: Path) -> None:
    """Extended hours are in the provider's history after a day."""
    with cut(database, plan=True, delay_seconds=None) as (_, feed):
        history = feed.history()
        assert history is not None

        def wanted() -> str | None:
            with database.transaction() as cursor:
                return repair_gaps.wanted_requests(cursor, feed, history, tmp_path)

        assert wanted() == "1 gaps can be repaired"
        assert repair(database, feed, tmp_path).requests == 1
        assert wanted() is None
        closed = close_gaps(database, feed)
        assert (closed.repaired, closed.unrepairable, closed.left) == (1, 0, 2)
        assert gaps(database) == [(25, 22, "open", 0), (22, 18, "repaired", 4), (18, 15, "open", 0)]
        assert wanted() is None, "a sensor would launch a run again and again"
        with database.transaction() as cursor:
            later = feed.model_copy(update={"repair": feed.repair.model_copy(update={"delay_seconds": 0.0})})
            assert repair_gaps.wanted_requests(cursor, later, history, tmp_path) == "2 gaps can be repaired"


def answer(history: TwelveDataHistory, body: bytes, status: int = 200) -> list[Bar]:
    minute = 60 * 10**9
    span = Span("AAPL", "AAPL", 29_000_000 * minute, 29_000_002 * minute)
    page = history.page(span, history.first(span), HistoryAnswer(status, {}, body))
    frame = page.frames[0].partition(b"\n")
    results = msgspec.json.decode(frame[2], type=list[msgspec.Raw])
    found = history.decode(msgspec.json.decode(frame[0], type=Header), results)
    return [event for event in found if isinstance(event, Bar)]


def test_bars_of_extended_hours_have_no_volume() -> None:
    at = datetime.fromtimestamp(29_000_000 * 60, timezone.utc)
    values = [
        {"datetime": f"{at + timedelta(minutes=minute):%Y-%m-%d %H:%M:%S}", "open": "1", "high": "1", "low": "1",
         "close": "1", "volume": volume}
        for minute, volume in enumerate(("0", "7"))
    ]  # fmt: skip
    body = msgspec.json.encode({"values": values, "status": "ok"})
    assert [bar.volume for bar in answer(HISTORY.outside_regular_hours(), body)] == [None, 7.0]
    assert [bar.volume for bar in answer(HISTORY, body)] == [0.0, 7.0]


@pytest.mark.parametrize("code", [400, 401, 402, 403])
def test_a_plan_is_no_wrong_key(code: int) -> None:
    body = msgspec.json.encode(
        {"code": code, "message": "prepost is available with the plan Pro. Consider upgrading", "status": "error"}
    )
    with pytest.raises(NotEntitledError, match="Pro"):
        answer(HISTORY.outside_regular_hours(), body, code)
    with pytest.raises(KeyRefusedError):
        answer(HISTORY, b'{"code":401,"message":"apikey parameter is incorrect","status":"error"}', 401)
