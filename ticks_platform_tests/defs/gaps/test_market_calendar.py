"""The asset `market_calendar`: sessions of the calendars in use, and the calendar of every symbol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.feeds.calendars import calendar
from ticks_platform.timescale.database import Database

FEEDS = """
feeds:
  stocks:
    provider: twelve_data
    endpoint: stand-in
    calendar: XNYS
    symbols:
      - AAPL
      - {symbol: "7203", calendar: XTKS}
      - {symbol: EUR/USD, calendar: 24/5}
      - {symbol: BTC/USD, calendar: always}
  coins:
    provider: polygon
    endpoint: stand-in
    options: {market: crypto, channels: [XT]}
    symbols: [BTC-USD]
"""

Keep = Callable[[], dict[str, Any]]


@pytest.fixture
def feeds(project: Path) -> Path:
    """The feeds.yaml of these tests, which they may change."""
    file = project / "feeds.yaml"
    file.write_text(FEEDS, encoding="utf-8")
    return file


@pytest.fixture
def keep(feeds: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Keep:
    """Materializes the asset as its schedule does, and returns what it shows."""

    def keep() -> dict[str, Any]:
        result = load().resolve_job_def("keep_market_calendar").execute_in_process(instance=instance)
        (materialization,) = result.asset_materializations_for_node("market_calendar")
        return {name: value.value for name, value in materialization.metadata.items()}

    return keep


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_every_symbol_has_its_calendar(database: Database, keep: Keep) -> None:
    assert keep()["calendars"] == "24/5, XNYS, XNYS 04:00-20:00, XTKS, always"
    assert rows(database, "SELECT feed, symbol, calendar, hours FROM ticks_platform.symbol_calendar ORDER BY 1, 2") == [
        ("coins", "BTC-USD", "always", "always"),
        ("stocks", "7203", "XTKS", "XTKS"),
        ("stocks", "AAPL", "XNYS", "XNYS 04:00-20:00"),
        ("stocks", "BTC/USD", "always", "always"),
        ("stocks", "EUR/USD", "24/5", "24/5"),
    ]


def test_sessions_go_from_before_the_first_tick_to_a_year_ahead(database: Database, keep: Keep) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
            "VALUES ('2025-11-21 12:00+00', 'AAPL', 1, gen_random_uuid(), 'stocks', now())"
        )
    keep()
    spans = {
        name: (first, last)
        for name, first, last in rows(
            database, "SELECT calendar, min(opens_at), max(opens_at) FROM ticks_platform.market_session GROUP BY 1"
        )
    }
    assert set(spans) == {"24/5", "XNYS", "XNYS 04:00-20:00", "XTKS"}, "what never closes has no sessions"
    for first, last in spans.values():
        assert first < datetime(2025, 11, 18, tzinfo=timezone.utc)
        assert last > datetime.now(timezone.utc) + timedelta(days=350)
    tokyo = rows(
        database,
        "SELECT opens_at, closes_at, session FROM ticks_platform.market_session "
        "WHERE calendar = 'XTKS' AND session BETWEEN '2025-11-21' AND '2025-11-25' ORDER BY opens_at",
    )
    assert [(f"{opens:%d %H:%M}", f"{closes:%H:%M}", session) for opens, closes, session in tokyo] == [
        ("21 00:00", "02:30", date(2025, 11, 21)),
        ("21 03:30", "06:30", date(2025, 11, 21)),
        ("25 00:00", "02:30", date(2025, 11, 25)),
        ("25 03:30", "06:30", date(2025, 11, 25)),
    ], "a break at noon, and a holiday on the 24th"
    whole = rows(
        database,
        "SELECT calendar, session, day_begins_at, day_ends_at FROM ticks_platform.market_session "
        "WHERE session BETWEEN '2025-11-24' AND '2025-11-25' ORDER BY opens_at, calendar",
    )
    assert [(name, session, f"{begins:%d %H:%M}", f"{ends:%d %H:%M}") for name, session, begins, ends in whole] == [
        ("24/5", date(2025, 11, 24), "23 22:00", "24 22:00"),
        ("XNYS 04:00-20:00", date(2025, 11, 24), "24 05:00", "25 05:00"),
        ("XNYS", date(2025, 11, 24), "24 05:00", "25 05:00"),
        ("24/5", date(2025, 11, 25), "24 22:00", "25 22:00"),
        ("XTKS", date(2025, 11, 25), "24 15:00", "25 15:00"),
        ("XTKS", date(2025, 11, 25), "24 15:00", "25 15:00"),
        ("XNYS 04:00-20:00", date(2025, 11, 25), "25 05:00", "26 05:00"),
        ("XNYS", date(2025, 11, 25), "25 05:00", "26 05:00"),
    ], "days begin at midnight where the exchange is, or with the session if that opens the evening before"
    currencies = rows(
        database,
        "SELECT opens_at, closes_at, session FROM ticks_platform.market_session "
        "WHERE calendar = '24/5' AND session BETWEEN '2025-11-21' AND '2025-11-24' ORDER BY opens_at",
    )
    assert [(f"{opens:%d %H:%M}", f"{closes:%d %H:%M}", session) for opens, closes, session in currencies] == [
        ("20 22:00", "21 22:00", date(2025, 11, 21)),
        ("23 22:00", "24 22:00", date(2025, 11, 24)),
    ]


@pytest.mark.full
def test_a_second_time_writes_nothing_and_what_is_wrong_is_put_right(database: Database, keep: Keep) -> None:
    first = keep()
    assert first["rows changed"] == first["sessions"] + first["symbols"]
    assert keep()["rows changed"] == 0
    right = rows(database, "SELECT * FROM ticks_platform.market_session ORDER BY 1, 2")
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.market_session SET closes_at = closes_at + INTERVAL '1 hour' "
            "WHERE (calendar, opens_at) IN "
            "(SELECT calendar, max(opens_at) FROM ticks_platform.market_session GROUP BY calendar)"
        )
        cursor.execute("INSERT INTO ticks_platform.market_session VALUES ('XNYS', now(), 'infinity', now())")
    assert keep()["rows changed"] == 5
    assert rows(database, "SELECT * FROM ticks_platform.market_session ORDER BY 1, 2") == right


@pytest.mark.full
def test_symbols_that_are_gone_stay_until_another_feed_has_them(database: Database, keep: Keep, feeds: Path) -> None:
    keep()
    feeds.write_text("feeds: {other: {provider: twelve_data, endpoint: stand-in, symbols: [AAPL]}}", encoding="utf-8")
    keep()
    found = rows(database, "SELECT feed, symbol, calendar FROM ticks_platform.symbol_calendar ORDER BY 1, 2")
    assert ("other", "AAPL", "always") in found
    assert ("stocks", "7203", "XTKS") in found
    assert ("stocks", "AAPL", "XNYS") not in found


@pytest.mark.full
@pytest.mark.usefixtures("project")
def test_it_needs_nothing_but_the_ticks(fresh: Database, run_job: Callable[..., dg.ExecuteInProcessResult]) -> None:
    assert run_job("bring_up").success
    assert rows(fresh, "SELECT count(*) FROM ticks_platform.symbol_calendar") == [(3,)]


def test_days_are_those_of_the_sessions() -> None:
    """What opens by day, put together where it touches, is what is open."""
    begin, end = (datetime(2026, month, 1, tzinfo=timezone.utc).timestamp() for month in (1, 4))
    for name in ("XNYS", "XTKS", "24/5"):
        merged: list[tuple[float, float]] = []
        for opening in calendar(name).openings(begin, end):
            if merged and merged[-1][1] == opening.opens:
                merged[-1] = (merged[-1][0], opening.closes)
            else:
                merged.append((opening.opens, opening.closes))
        sessions = [session for session in calendar(name).sessions(begin, end) if session[0] > begin]
        assert merged[-len(sessions) + 1 : -1] == sessions[1:-1], name
