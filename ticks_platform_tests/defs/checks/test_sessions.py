"""Completeness of sessions: judged by calendar, and against what is usual for the symbol."""

from __future__ import annotations

import dagster as dg
import pytest

from ticks_platform.feeds.calendars import Calendar
from ticks_platform.ingestion import switch
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import WARN, CheckOne, insert, number


@pytest.fixture
def database(database: Database) -> Database:
    """The feed `stocks`, of AAPL and MSFT, is switched on, and `crypto` off."""
    with database.transaction() as cursor:
        for feed in ("stocks", "crypto"):
            switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=feed == "stocks")
    return database


def verdicts(evaluation: dg.AssetCheckEvaluation) -> dict[str, str]:
    table = evaluation.metadata["symbols by name"]
    assert isinstance(table, dg.TableMetadataValue)
    return {str(row.data["symbol"]): str(row.data["verdict"]) for row in table.records}


def minutes(database: Database, symbol: str, *, since: int, until: int, every: int = 1) -> None:
    """A tick every so many minutes, from so many minutes ago until so many."""
    insert(database, *[100] * ((since - until) // every), symbol=symbol, ago=since, every=60 * every)


def test_without_candles_nothing_is_judged(database: Database, check_one: CheckOne) -> None:
    found = check_one("session_is_complete")
    assert found.passed
    assert verdicts(found) == {"AAPL": "no candle yet", "MSFT": "no candle yet"}


def test_complete_sessions_pass(database: Database, check_one: CheckOne) -> None:
    minutes(database, "AAPL", since=360, until=0)
    minutes(database, "MSFT", since=360, until=0, every=5)
    minutes(database, "BTC/USD", since=360, until=200)
    found = check_one("session_is_complete")
    assert found.passed
    assert verdicts(found) == {"AAPL": "complete", "MSFT": "complete"}, "a rare symbol is judged by its own share"
    assert number(found, "minutes in session") == 240


@pytest.mark.parametrize(("since", "until"), [(360, 60), (360, 100), (360, 140)])
def test_missing_minutes_are_found(database: Database, check_one: CheckOne, since: int, until: int) -> None:
    minutes(database, "AAPL", since=since, until=until)
    minutes(database, "MSFT", since=360, until=0)
    found = check_one("session_is_complete")
    assert (found.passed, found.severity) == (False, WARN)
    assert verdicts(found) == {"AAPL": "incomplete", "MSFT": "complete"}
    assert found.description == "1 of 2 symbols lack candles: AAPL"


def test_a_rare_symbol_that_ceases_is_found(database: Database, check_one: CheckOne) -> None:
    minutes(database, "AAPL", since=600, until=130, every=4)
    assert verdicts(check_one("session_is_complete"))["AAPL"] == "incomplete"


def test_volume_alone_counts_but_not_what_changes_no_candle(database: Database, check_one: CheckOne) -> None:
    minutes(database, "AAPL", since=360, until=0)
    minutes(database, "MSFT", since=360, until=0)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE stocks_real_time SET size = 1, updates = CASE symbol WHEN 'AAPL' THEN 4 ELSE 23 END "
            "WHERE time > now() - INTERVAL '90 minutes'"
        )
    assert verdicts(check_one("session_is_complete")) == {"AAPL": "complete", "MSFT": "incomplete"}


def test_a_symbol_that_has_just_begun_is_not_judged(database: Database, check_one: CheckOne) -> None:
    minutes(database, "AAPL", since=40, until=10)
    found = check_one("session_is_complete")
    assert found.passed
    assert verdicts(found)["AAPL"] == "too new to judge"


@pytest.mark.parametrize("ends", [True, False])
def test_minutes_in_a_gap_do_not_count(database: Database, check_one: CheckOne, *, ends: bool) -> None:
    """Also where it goes on; a gap of another symbol excuses nothing."""
    minutes(database, "AAPL", since=360, until=200)
    if ends:
        minutes(database, "AAPL", since=60, until=0)
    minutes(database, "MSFT", since=360, until=60)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state) SELECT 'stocks', "
            "'AAPL', now() - INTERVAL '199.5 minutes', CASE WHEN %s THEN now() - INTERVAL '60.5 minutes' END, "
            "'killed', 'unrepairable'",
            (ends,),
        )
    found = check_one("session_is_complete")
    assert verdicts(found) == {"AAPL": "complete" if ends else "closed, or in a gap", "MSFT": "incomplete"}


def test_closed_markets_lack_nothing(database: Database, check_one: CheckOne, monkeypatch: pytest.MonkeyPatch) -> None:
    minutes(database, "AAPL", since=420, until=135)
    assert not check_one("session_is_complete").passed
    # It closed 133 minutes ago.
    sessions = Calendar.sessions
    monkeypatch.setattr(
        Calendar,
        "sessions",
        lambda calendar, begin, end: [] if end - begin <= 7200 else sessions(calendar, begin, end),
    )
    found = check_one("session_is_complete")
    assert found.passed
    assert verdicts(found)["AAPL"] == "closed, or in a gap"


def test_a_feed_that_is_switched_off_is_not_judged(database: Database, check_one: CheckOne) -> None:
    minutes(database, "AAPL", since=360, until=130)
    assert not check_one("session_is_complete").passed
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=False)
    assert check_one("session_is_complete").passed
