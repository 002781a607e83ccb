"""Splits and dividends from the stand-in, through both providers' REST APIs, within their limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.reference.actions import Follower, Report
from ticks_platform.timescale.database import Database
from ticks_standin import StandIn, StandInSettings

KEY = "TICKS_TEST_ACTIONS_KEY"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv(KEY, "demo")
    with StandIn(StandInSettings(rate=0)) as server:
        server.announce_split("AAPL", date(2024, 1, 2), 1, 4)
        server.announce_dividend("AAPL", date(2024, 3, 1), 0.5, 50.0)
        server.announce_split("INTC", date(2024, 1, 3), 20, 1)
        yield server


def feed(stand_in: StandIn, provider: str, *symbols: str, **more: Any) -> FeedSettings:
    market = {"market": "stocks"} if provider == "polygon" else {}
    settings = {
        "name": "stocks",
        "provider": provider,
        "endpoint": stand_in.url(provider, key=None, **market),
        "api_key_env": KEY,
        "symbols": symbols,
        **more,
    }
    return FeedSettings.model_validate(settings)


def follow(database: Database, settings: FeedSettings, **more: Any) -> Report:
    api = settings.connector().corporate_actions()
    assert api is not None
    return Follower(feed=settings, api=api, database=database, owner="run", backoff=0.01, **more).run(seconds=20)


def stored(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT symbol, kind, execution_date, split_from, split_to, cash_amount, "
            "historical_adjustment_factor, source "
            "FROM corporate_action WHERE superseded_at IS NULL ORDER BY symbol, execution_date"
        )
        return cursor.fetchall()


def ask_again(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.corporate_action_check SET asked_at = now() - INTERVAL '1 day'")


def test_polygon(database: Database, stand_in: StandIn) -> None:
    settings = feed(stand_in, "polygon", "AAPL", "INTC", "KO", repair={"requests_per_minute": 100})
    assert follow(database, settings) == Report(requests=2, symbols=3, added=3)
    assert stored(database) == [
        ("AAPL", "split", date(2024, 1, 2), 1.0, 4.0, None, 0.25, "polygon"),
        ("AAPL", "dividend", date(2024, 3, 1), None, None, 0.5, 0.99, "polygon"),
        ("INTC", "split", date(2024, 1, 3), 20.0, 1.0, None, 20.0, "polygon"),
    ]
    assert follow(database, settings) == Report(), "no symbol is due"
    stand_in.announce_split("INTC", date(2030, 1, 3), 1, 10)
    ask_again(database)
    assert follow(database, settings) == Report(requests=2, symbols=3, added=1)
    stand_in.announce_split("INTC", date(2030, 1, 3), 1, 8)
    ask_again(database)
    assert follow(database, settings) == Report(requests=2, symbols=3, added=1, changed=1)
    stand_in.withdraw_actions("INTC")
    ask_again(database)
    assert follow(database, settings) == Report(requests=2, symbols=3, gone=2)
    assert [row[0] for row in stored(database)] == ["AAPL", "AAPL"], "the answer reaches as far back as the old one"


def test_twelve_data(database: Database, stand_in: StandIn) -> None:
    settings = feed(stand_in, "twelve_data", "AAPL", "INTC", "EUR/USD", repair={"requests_per_minute": 100})
    assert follow(database, settings) == Report(requests=4, symbols=2, added=3)
    assert [row[:6] for row in stored(database)] == [
        ("AAPL", "split", date(2024, 1, 2), 1.0, 4.0, None),
        ("AAPL", "dividend", date(2024, 3, 1), None, None, 0.5),
        ("INTC", "split", date(2024, 1, 3), 20.0, 1.0, None),
    ]


def test_a_plan_whose_limit_is_less_than_a_request_is_told(database: Database, stand_in: StandIn) -> None:
    report = follow(database, feed(stand_in, "twelve_data", "AAPL"))
    assert (report.requests, report.left) == (0, 1)
    assert "20 credits and the limit is 8" in report.problems[0]


@pytest.mark.parametrize(("status", "requests"), [(403, 1), (401, 1), (503, 3)])
def test_a_refusal_is_told_and_changes_nothing(
    database: Database, stand_in: StandIn, status: int, requests: int
) -> None:
    settings = feed(stand_in, "polygon", "AAPL")
    follow(database, settings)
    before = stored(database)
    ask_again(database)
    stand_in.fail_requests("status", requests=5, path="/stocks", status=status)
    report = follow(database, settings)
    assert (report.requests, report.symbols, len(report.problems)) == (requests, 0, 1)
    assert str(status) in report.problems[0]
    assert stored(database) == before
    with database.transaction() as cursor:
        cursor.execute("SELECT checked_at < asked_at, problem FROM ticks_platform.corporate_action_check")
        assert cursor.fetchall() == [(True, report.problems[0])]


def test_a_provider_that_cannot_be_reached_is_told(database: Database, stand_in: StandIn) -> None:
    settings = feed(stand_in, "polygon", "AAPL", endpoint="ws://127.0.0.1:9/stocks")
    report = follow(database, settings)
    assert (report.requests, report.symbols, report.left) == (3, 0, 0)
    assert "no response" in report.problems[0]
    assert stored(database) == []


def test_the_limit_of_the_plan_is_kept(database: Database, stand_in: StandIn) -> None:
    """Two requests a minute, shared with repair: the third one is not made within the run's time."""
    settings = feed(stand_in, "twelve_data", "AAPL", "INTC", repair={"requests_per_minute": 40})
    report = follow(database, settings)
    assert (report.requests, report.symbols, report.left) == (2, 1, 1)
