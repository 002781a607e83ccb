"""Asking the providers what they know of instruments, over HTTP from the stand-in, within their limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.reference.asking import Asking, Report
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.repairing import KEY, manual_stand_in
from ticks_standin import StandIn

KNOWN = (
    "SELECT symbol, asset_class, mic, currency, round_lot::int, may_be_negative "
    "FROM ticks_platform.instrument_reference WHERE answered_at IS NOT NULL ORDER BY symbol"
)
DUE = (
    "SELECT symbol, problem, extract(epoch FROM ask_after - now())::float8 / 3600 "
    "FROM ticks_platform.instrument_reference ORDER BY symbol"
)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "demo")


def feed(url: str, symbols: Sequence[str], provider: str = "twelve_data", **more: Any) -> FeedSettings:
    return FeedSettings(
        name="some",
        provider=provider,
        endpoint=url,
        synthetic_endpoint=True,
        api_key_env=KEY,
        symbols=tuple(symbols),  # type: ignore[arg-type]
        **more,
    )


def polygon(stand_in: StandIn, *symbols: str, market: str = "stocks", **more: Any) -> FeedSettings:
    return feed(
        stand_in.url("polygon", key=None, market=market), symbols, "polygon", options={"market": market}, **more
    )


def twelve_data(stand_in: StandIn, *symbols: str, **more: Any) -> FeedSettings:
    return feed(stand_in.url("twelve_data", key=None), symbols, **more)


def ask(database: Database, feed: FeedSettings, *, seconds: float = 30.0, minute: float = 0.2) -> Report:
    reference = feed.connector().reference()
    assert reference is not None
    return Asking(feed=feed, reference=reference, database=database, owner="test", minute=minute).run(seconds=seconds)


def test_polygon_tells_of_stocks(database: Database, stand_in: StandIn) -> None:
    report = ask(database, polygon(stand_in, "AAPL", "BACpB", "SPY", "NOPE", "*"))
    assert report == Report(4, 3, 0, ("NOPE: the provider has no reference data of it",))
    assert rows(database, KNOWN) == [
        ("AAPL", "stock", "XNAS", "USD", 100, False),
        ("BACpB", "stock", "XNYS", "USD", 100, False),
        ("SPY", "etf", "ARCX", "USD", 40, False),
    ]


@pytest.mark.full
@pytest.mark.parametrize(
    ("market", "symbol", "known"),
    [
        ("crypto", "BTC-USD", ("BTC-USD", "crypto", None, "USD", None, None)),
        ("forex", "EURUSD", ("EUR/USD", "currency", None, "USD", None, None)),
        ("forex", "XAU/USD", ("XAU/USD", "commodity", None, "USD", None, False)),
        ("indices", "I:SPX", ("I:SPX", "index", None, None, None, None)),
    ],
)
def test_polygon_tells_of_other_markets(
    database: Database, stand_in: StandIn, market: str, symbol: str, known: tuple[object, ...]
) -> None:
    assert ask(database, polygon(stand_in, symbol, market=market)).problems == ()
    assert [(row[0], *row[1:]) for row in rows(database, KNOWN)] == [known]


def test_twelve_data_tells_of_the_listing_that_was_asked_for(database: Database, stand_in: StandIn) -> None:
    symbols = ("AAPL", "RY", "RY:TSX", "VOD:LSE", "SPY", "NSEI", "BTC/USD", "EUR/USD", "XAU/USD", "NOPE")
    report = ask(database, twelve_data(stand_in, *symbols))
    assert report.problems == ("NOPE: the provider has no reference data of it",)
    assert sorted(row for row in rows(database, KNOWN)) == [
        ("AAPL", "stock", "XNGS", "USD", None, False),
        ("BTC/USD", "crypto", None, "USD", None, None),
        ("EUR/USD", "currency", None, "USD", None, None),
        ("NSEI", "index", "XNSE", "INR", None, None),
        ("RY", "stock", "XNYS", "USD", None, False),
        ("RY:TSX", "stock", "XTSE", "CAD", None, False),
        ("SPY", "etf", "ARCX", "USD", None, False),
        ("VOD:LSE", "stock", "XLON", "GBX", None, False),
        ("XAU/USD", "commodity", None, "USD", None, False),
    ]


@pytest.mark.full
def test_nothing_is_asked_again_before_a_week(database: Database, stand_in: StandIn) -> None:
    tape = polygon(stand_in, "AAPL", "NOPE")
    assert ask(database, tape).requests == 2
    assert ask(database, tape).requests == 0
    assert [round(hours / 24) for *_, hours in rows(database, DUE)] == [7, 7]
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.instrument_reference SET ask_after = now() WHERE symbol = 'AAPL'")
    assert ask(database, tape).requests == 1


def test_requests_are_counted_with_those_of_repairs(database: Database, stand_in: StandIn) -> None:
    tape = polygon(stand_in, "AAPL", "MSFT", "NVDA", "TSLA", repair={"requests_per_minute": 3})
    report = ask(database, tape, seconds=1, minute=60)
    assert report == Report(3, 3, 1, ())
    requests = rows(database, "SELECT account, repair_id, outcome FROM ticks_platform.feed_repair_request ORDER BY 3")
    assert requests == [(f"polygon {KEY}", None, f"facts of {name}") for name in ("AAPL", "MSFT", "NVDA")]
    # A quarter of a day's requests is all that a run takes.
    few = twelve_data(stand_in, "AMD", "META", "KO", repair={"requests_per_day": 8})
    assert ask(database, few).requests == 2


@pytest.mark.full
@pytest.mark.parametrize("settings", [{"keys": ["another"]}, {"polygon_rest_unentitled": ["reference"]}])
def test_a_refusal_is_final_for_a_day(
    database: Database, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    if "keys" in settings:
        monkeypatch.setenv(KEY, "a-wrong-key")
    with manual_stand_in(**settings) as stand_in:
        report = ask(database, polygon(stand_in, "AAPL", "MSFT"))
    assert (report.requests, report.answered, report.left) == (1, 0, 2)
    assert rows(database, KNOWN) == []
    assert [round(hours) for *_, hours in rows(database, DUE)] == [24, 24]
    assert "wrong-key" not in str(rows(database, "SELECT * FROM ticks_platform.instrument_reference"))


@pytest.mark.full
def test_the_providers_own_limit_is_obeyed(database: Database) -> None:
    with manual_stand_in(polygon_requests_per_minute=1) as stand_in:
        tape = polygon(stand_in, "AAPL", "MSFT", "NVDA", repair={"requests_per_minute": 1000})
        report = ask(database, tape, seconds=10, minute=60)
    assert report == Report(2, 1, 2, ())
    pause = "SELECT extract(epoch FROM max(pause_until) - now()) > 30 FROM ticks_platform.feed_repair_request"
    assert rows(database, pause) == [(True,)]


def test_a_provider_that_cannot_be_reached_is_asked_again_after_an_hour(database: Database) -> None:
    with manual_stand_in() as stand_in:
        tape = polygon(stand_in, "AAPL", "MSFT")
        assert ask(database, tape).answered == 2
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.instrument_reference SET ask_after = now()")
    report = ask(database, tape)
    assert (report.requests, report.answered, report.left) == (1, 0, 2)
    (problem,) = report.problems
    assert problem.startswith("no response from http")
    assert [(said, round(hours)) for _, said, hours in rows(database, DUE)] == [(problem, 1), (problem, 1)]
    # What it said before stays.
    assert [row[:2] for row in rows(database, KNOWN)] == [("AAPL", "stock"), ("MSFT", "stock")]
