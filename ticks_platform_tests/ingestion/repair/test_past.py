"""The hours before a symbol was added: fetched once, so that they are whole, in any provider's hours."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.repair import repair as repair_module
from ticks_platform.ingestion.repair.past import _sending_hours
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import floor
from ticks_platform_tests.support import repairing
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.coinbase_rest import CoinbaseRest, trades
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import (
    KEY,
    add_gap,
    close_gaps,
    load_live,
    manual_stand_in,
    minutes_ago,
    polygon,
    repair,
)
from ticks_standin import StandIn
from ticks_standin.account import MadeEvent

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
MARGIN = timedelta(seconds=10)
NEW_YORK_DAY = datetime(2026, 3, 9, tzinfo=timezone.utc)
"""A Monday, the first one of daylight saving time: 04:00 in New York is 08:00."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that trades AAPL on request, as Polygon."""
    with manual_stand_in(traded=["T.AAPL"], keys=["demo"]) as server:
        yield server


def add(
    database: Database,
    feed: FeedSettings,
    at: datetime,
    *,
    symbol: str = "AAPL",
    until: datetime | None = None,
    after: timedelta = SECOND,
    calendar: str = "always",
) -> None:
    """A symbol that was in feeds.yaml from this time on, and received a second later, until it was removed."""
    with database.transaction() as cursor:
        leases.register_feed(cursor, feed=feed.name, provider=feed.provider, synthetic=True, candles=feed.candles)
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar) "
            "VALUES (%s, %s, %s, %s, %s)",
            (feed.name, symbol, at, until, calendar),
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection) "
            "VALUES (%s, %s, %s, %s, %s, 1, 1)",
            (feed.name, symbol, at + after, until, None if until is None else "unsubscribed"),
        )


def at(event: MadeEvent) -> datetime:
    return datetime.fromtimestamp(event.made_ms / 1000, timezone.utc)


def stored(database: Database) -> list[Any]:
    """Trade ids in the order of time."""
    return [trade for (trade,) in rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY time, tick_id")]


def ids(events: list[MadeEvent]) -> list[Any]:
    return [event.decoded()["i"] for event in events]


def select(database: Database, query: str, *values: object) -> list[Any]:
    with database.transaction() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


def ranges(database: Database, symbol: str = "AAPL") -> list[Any]:
    query = "SELECT begins_at, ends_at FROM ticks_platform.feed_repair WHERE symbol = %s ORDER BY begins_at"
    return select(database, query, symbol)


def is_due(database: Database, feed: FeedSettings, folder: Path) -> bool:
    return repair_module.due(database, feed, feed.history(), folder).is_due


def test_the_hours_before_a_symbol_was_added_are_whole(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    feed, added = polygon(stand_in, past_hours=2), minutes_ago(20)
    first = floor(added, HOUR) - 2 * HOUR
    stand_in.trade_unheard(600, first - HOUR, added + 5 * MINUTE)
    made = stand_in.made("T.AAPL", payloads=True).events
    add(database, feed, added)
    load_live(database, feed, [event for event in made if at(event) >= added + SECOND], tmp_path)
    assert is_due(database, feed, tmp_path)
    report = repair(database, feed, tmp_path)
    assert (report.rejected, report.left) == (0, 0)
    assert stored(database) == ids([event for event in made if at(event) >= first])
    assert ranges(database) == [
        (first, first + HOUR),
        (first + HOUR, first + 2 * HOUR),
        (first + 2 * HOUR, added + SECOND + MARGIN),
    ]
    assert stand_in.requests()[0].begins_ns == round((first + 2 * HOUR).timestamp()) * 10**9, "the newest hour first"
    assert unbalanced(database) == []
    query = "SELECT received @> tstzrange(%s, now()) FROM ticks_platform.symbol_proof WHERE symbol = 'AAPL'"
    assert select(database, query, first) == [(True,)], "without a hole between what was fetched and what was received"

    # A restart of the ingestion, or of the platform, asks for nothing again.
    close_gaps(database, feed)
    assert not is_due(database, feed, tmp_path)
    assert repair(database, feed, tmp_path).requests == 0


@pytest.mark.parametrize("hours", [0, 1])
def test_nothing_is_fetched_where_it_is_not_asked_for(
    database: Database, tmp_path: Path, stand_in: StandIn, hours: int
) -> None:
    """Without the setting, as before; and with it of symbols that were added long ago, or are not received yet."""
    feed = polygon(stand_in, past_hours=hours, symbols=("AAPL", "MSFT"))
    add(database, feed, minutes_ago(20) if not hours else minutes_ago(8 * 24 * 60))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('tape', 'MSFT', %s, 'always')",
            (minutes_ago(5),),
        )
    load_live(database, feed, [], tmp_path)
    assert not is_due(database, feed, tmp_path)
    assert repair(database, feed, tmp_path).requests == 0


def test_nothing_is_fetched_before_the_loader_has_what_was_received(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    """Else it would store trades again that were fetched."""
    feed = polygon(stand_in, past_hours=1)
    stand_in.trade_unheard(60, minutes_ago(60), minutes_ago(10))
    add(database, feed, minutes_ago(20))
    assert not is_due(database, feed, tmp_path), "there is no journal that is loaded"
    load_live(database, feed, [], tmp_path)
    assert is_due(database, feed, tmp_path)


def test_a_symbol_that_is_added_later_has_its_own_past(database: Database, tmp_path: Path) -> None:
    with manual_stand_in(traded=["T.AAPL", "T.MSFT"], keys=["demo"]) as stand_in:
        feed, added = polygon(stand_in, past_hours=1, symbols=("AAPL", "MSFT")), minutes_ago(30)
        stand_in.trade_unheard(200, added - 3 * HOUR, added)
        add(database, feed, added)
        load_live(database, feed, [], tmp_path)
        repair(database, feed, tmp_path)
        asked = len(stand_in.requests())
        later = minutes_ago(10)
        add(database, feed, later, symbol="MSFT")
        repair(database, feed, tmp_path)
        assert {request.path for request in stand_in.requests()[asked:]} == {"/v3/trades/MSFT"}
        assert ranges(database, "MSFT") == [
            (floor(later, HOUR) - HOUR, floor(later, HOUR)),
            (floor(later, HOUR), later + SECOND + MARGIN),
        ]


def test_a_symbol_that_was_removed_and_is_added_again_lacks_the_time_between(
    database: Database, tmp_path: Path, stand_in: StandIn
) -> None:
    feed = polygon(stand_in, past_hours=5)
    removed, added = minutes_ago(40), minutes_ago(20)
    stand_in.trade_unheard(100, removed - HOUR, added)
    add(database, feed, removed - 9 * HOUR, until=removed)
    add(database, feed, added)
    load_live(database, feed, [], tmp_path)
    repair(database, feed, tmp_path)
    found = ranges(database)
    assert (found[0][0], found[-1][1]) == (removed - MARGIN, added + SECOND + MARGIN)
    close_gaps(database, feed)
    assert not is_due(database, feed, tmp_path)


def test_a_change_of_its_hours_is_no_addition(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    feed, changed = polygon(stand_in, past_hours=1), minutes_ago(20)
    add(database, feed, changed - 30 * 24 * HOUR, until=changed)
    add(database, feed, changed, calendar="24/5")
    load_live(database, feed, [], tmp_path)
    assert not is_due(database, feed, tmp_path)


@pytest.mark.full
def test_gaps_come_first(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    feed, added = polygon(stand_in, past_hours=3), minutes_ago(60)
    stand_in.trade_unheard(400, added - 5 * HOUR, minutes_ago(1))
    add(database, feed, added)
    add_gap(database, feed, "AAPL", minutes_ago(20), minutes_ago(15))
    load_live(database, feed, [], tmp_path)
    repair(database, feed, tmp_path)
    first = stand_in.requests()[0]
    assert first.begins_ns == round((minutes_ago(20) - MARGIN).timestamp()) * 10**9


def test_what_the_plan_does_not_include_is_asked_for_once(database: Database, tmp_path: Path) -> None:
    with manual_stand_in(traded=["T.AAPL"], polygon_rest_unentitled=["trades"]) as stand_in:
        feed = polygon(stand_in, past_hours=24)
        add(database, feed, minutes_ago(20))
        load_live(database, feed, [], tmp_path)
        report = repair(database, feed, tmp_path)
        assert (report.requests, report.left) == (1, 0)
        assert repair(database, feed, tmp_path).requests == 0
        ((error,),) = rows(database, "SELECT error FROM ticks_platform.feed_repair")
        assert "not entitled" in error


def test_a_name_for_all_symbols_has_no_past(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    feed = polygon(stand_in, past_hours=1, symbols=("*",))
    add(database, feed, minutes_ago(20), symbol="*")
    load_live(database, feed, [], tmp_path)
    assert not is_due(database, feed, tmp_path)


def test_a_gap_of_all_symbols_is_asked_of_no_history(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    """A provider answers with no trades of a symbol `*`, which is no repair; a gap of what is listed is repaired."""
    feed = polygon(stand_in, symbols=("*", "AAPL"))
    for symbol in ("*", "AAPL"):
        add(database, feed, minutes_ago(60), symbol=symbol)
        add_gap(database, feed, symbol, minutes_ago(20), minutes_ago(15))
    load_live(database, feed, [], tmp_path)
    assert repair(database, feed, tmp_path).requests == 1
    close_gaps(database, feed)
    states = select(database, "SELECT symbol, state FROM ticks_platform.feed_gap ORDER BY symbol")
    assert states == [("*", "open"), ("AAPL", "repaired")]
    assert not is_due(database, feed, tmp_path)


@pytest.mark.full
def test_the_past_has_the_limits_of_the_history(database: Database, tmp_path: Path, stand_in: StandIn) -> None:
    """Hours that it has only in part are left out: they would not be whole."""
    feed, added = polygon(stand_in, past_hours=4, give_up_after_days=0.1), minutes_ago(20)
    stand_in.trade_unheard(100, added - 6 * HOUR, added)
    add(database, feed, added)
    load_live(database, feed, [], tmp_path)
    repair(database, feed, tmp_path)
    oldest = ranges(database)[0][0]
    assert oldest == floor(oldest, HOUR)
    assert timedelta(0) <= datetime.now(timezone.utc) - timedelta(days=0.1) - (oldest - HOUR) < HOUR


@pytest.mark.full
def test_a_killed_repair_continues_with_the_hour(
    database: Database, database_url: str, tmp_path: Path, stand_in: StandIn
) -> None:
    feed, added = polygon(stand_in, past_hours=2), minutes_ago(20)
    first = floor(added, HOUR) - 2 * HOUR
    stand_in.trade_unheard(600, first, added)
    add(database, feed, added)
    load_live(database, feed, [], tmp_path)
    for place, number in (("appended", 1), ("recorded", 1), ("committed", 1)):
        child = Child(repairing.main, database_url, tmp_path, feed.model_dump(mode="json"), (place, number))
        child.wait(60)
        assert child.exit_code == -signal.SIGKILL, place
        with database.transaction() as cursor:
            cursor.execute("UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = now() - INTERVAL '1 hour'")
    assert repair(database, feed, tmp_path).left == 0
    assert stored(database) == ids(stand_in.made("T.AAPL", payloads=True).events)
    assert sum(request.results for request in stand_in.requests()) == 600, "no page was fetched twice"
    assert unbalanced(database) == []


@pytest.mark.full
def test_a_coinbase_feed_has_a_past(database: Database, tmp_path: Path) -> None:
    with CoinbaseRest() as exchange:
        feed = FeedSettings.model_validate(
            {
                "name": "coins",
                "provider": "coinbase",
                "endpoint": exchange.url,
                "synthetic_endpoint": True,
                "symbols": ["BTC-USD"],
                "repair": {"delay_seconds": 0, "past_hours": 1},
            }
        )
        added = minutes_ago(15)
        begin = floor(added, HOUR) - 2 * HOUR
        seconds = (added + MINUTE - begin).total_seconds()
        known = exchange.trades["BTC-USD"] = trades(2_000, begin, seconds, first=5_000_000)
        add(database, feed, added, symbol="BTC-USD")
        load_live(database, feed, [], tmp_path)
        report = repair(database, feed, tmp_path)
        assert (report.rejected, report.left) == (0, 0)
        wanted = [
            str(told["trade_id"])
            for place, told in enumerate(known)
            if HOUR <= timedelta(seconds=seconds / 2_000 * place) < added + SECOND + MARGIN - begin
        ]
        assert stored(database) == wanted


@pytest.mark.parametrize(
    ("calendar", "before", "hours"),
    [
        ("always", NEW_YORK_DAY + 2 * HOUR, [1, 0, -1]),
        # Monday 05:00 in New York, then Friday until 20:00, when it was Saturday 01:00 by UTC.
        ("XNYS 04:00-20:00", NEW_YORK_DAY + 9 * HOUR, [8, -48, -49]),
        # A whole hour of which a part is in the session counts.
        ("XNYS", NEW_YORK_DAY + 15 * HOUR, [14, 13, -52]),
    ],
)
def test_hours_are_those_in_which_the_provider_sends(calendar: str, before: datetime, hours: list[int]) -> None:
    assert _sending_hours(calendar, before, 3) == tuple(NEW_YORK_DAY + hour * HOUR for hour in hours)


@pytest.mark.parametrize(
    ("provider", "options", "symbol"),
    [
        ("polygon", {}, "AAPL"),
        ("polygon", {"market": "crypto", "channels": ["XT", "XQ"]}, "BTC-USD"),
        ("alpaca", {}, "AAPL"),
        ("coinbase", {}, "BTC-USD"),
        ("binance", {}, "BTCUSDT"),
        ("kraken", {}, "BTC/USD"),
    ],
)
def test_providers_with_trades_have_a_past(provider: str, options: dict[str, Any], symbol: str) -> None:
    given = {"name": "a", "provider": provider, "options": options, "symbols": [symbol], "repair": {"past_hours": 3}}
    assert FeedSettings.model_validate(given).repair.past_hours == 3


@pytest.mark.parametrize(
    ("provider", "options", "words"),
    [
        ("twelve_data", {}, "provider twelve_data has minute bars alone"),
        ("polygon", {"market": "forex"}, "provider polygon has minute bars alone"),
        ("polygon", {"channels": ["Q"]}, "provider polygon has none:"),
    ],
)
def test_a_past_without_trades_is_an_error(provider: str, options: dict[str, Any], words: str) -> None:
    given = {"name": "a", "provider": provider, "options": options, "symbols": ["AAPL"], "repair": {"past_hours": 3}}
    with pytest.raises(ValueError, match=words):
        FeedSettings.model_validate(given)
    FeedSettings.model_validate({**given, "repair": {"past_hours": 0}})
