"""What is known of instruments: feeds.yaml wins over the provider, and both over what a market lets expect."""

from __future__ import annotations

from datetime import date

import pytest

from ticks_platform.feeds.reference import Facts
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings
from ticks_platform.ingestion.reference import stored
from ticks_platform.ingestion.reference.instruments import known
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.instruments import Instrument


def feeds(**bodies: object) -> tuple[FeedSettings, ...]:
    return PlatformSettings.model_validate({"feeds": bodies}).feeds


def polygon(symbols: object, market: str = "stocks", **more: object) -> dict[str, object]:
    return {"provider": "polygon", "options": {"market": market}, "symbols": symbols, **more}


@pytest.mark.parametrize(
    ("feed", "asset_class", "currency", "may_be_negative"),
    [
        (polygon(["AAPL"]), "stock", "USD", False),
        (polygon(["O:SPY251219C00650000"], "options"), "option", "USD", False),
        (polygon(["I:TICK"], "indices"), "index", None, True),
        (polygon(["BTC-USD"], "crypto"), "crypto", "USD", False),
        (polygon(["EURUSD"], "forex"), "currency", "USD", False),
        (polygon(["XAU/USD"], "forex"), "commodity", "USD", False),
        ({"provider": "twelve_data", "symbols": ["NSEI"]}, None, None, False),
        ({"provider": "twelve_data", "symbols": ["BTC/USD"]}, "crypto", "USD", False),
        ({"provider": "twelve_data", "symbols": ["USD/JPY"]}, "currency", "JPY", False),
        ({"provider": "twelve_data", "symbols": ["WTI/USD"]}, "commodity", "USD", True),
        ({"provider": "twelve_data", "symbols": ["GEL/USD"]}, "currency", "USD", False),
        (polygon(["X:BTC-USD"], "crypto"), "crypto", "USD", False),
        ({"provider": "coinbase", "symbols": ["SOL-EUR"]}, "crypto", "EUR", False),
        (polygon({"CL": {"asset_class": "future"}}), "future", "USD", True),
        (polygon({"CL": {"asset_class": "future", "may_be_negative": False}}), "future", "USD", False),
        (polygon({"SPREAD": {"may_be_negative": True}}), "stock", "USD", True),
    ],
)
def test_what_a_market_lets_expect(
    feed: dict[str, object], asset_class: str | None, currency: str | None, may_be_negative: bool
) -> None:
    (instrument,) = known(feeds(one=feed), {}).instruments
    assert (instrument.asset_class, instrument.currency, instrument.may_be_negative) == (
        asset_class,
        currency,
        may_be_negative,
    )


def test_feeds_yaml_wins_over_the_provider_and_both_over_the_market() -> None:
    found = known(
        feeds(
            second=polygon({"SPY": {"tick_size": 0.01}, "QQQ": {}}, candles=False),
            first=polygon({"SPY": {"currency": "usd", "calendar": "XLON"}, "IBM": {"round_lot": {"2025-11-03": 40}}}),
        ),
        {
            ("first", "SPY"): Facts("etf", "ARCX", "EUR", round_lot=100),
            ("second", "QQQ"): Facts("etf", round_lot=40),
            ("first", "IBM"): Facts("stock", "XNYS", "USD", round_lot=100),
        },
    )
    assert {instrument.symbol: instrument for instrument in found.instruments} == {
        "SPY": Instrument("SPY", "etf", "ARCX", "USD", 0.01, False, "XLON", "XLON", "feeds.yaml, polygon"),
        "QQQ": Instrument("QQQ", "etf", None, "USD", None, False, "XNYS", "XNYS 04:00-20:00", "polygon, default"),
        "IBM": Instrument("IBM", "stock", "XNYS", "USD", None, False, "XNYS", "XNYS 04:00-20:00", "polygon"),
    }
    assert found.set_lots == {"IBM": {date(2025, 11, 3): 40}}
    assert found.seen_lots == {"SPY": (100, "polygon"), "QQQ": (40, "polygon")}


def test_symbols_that_stand_for_many() -> None:
    found = known(feeds(all=polygon(["*"], "indices")), {}, ["I:TICK", "AAPL"])
    assert [(each.symbol, each.asset_class, each.may_be_negative) for each in found.instruments] == [
        ("I:TICK", "index", True)
    ]


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def keep(database: Database, **bodies: object) -> tuple[int, int]:
    with database.transaction() as cursor:
        return stored.keep(cursor, feeds(**bodies))


def test_only_what_differs_is_written(database: Database) -> None:
    assert keep(database, tape=polygon({"AAPL": {"round_lot": 100}, "MSFT": {}})) == (2, 1)
    (before,) = rows(database, "SELECT changed_at FROM instrument WHERE symbol = 'AAPL'")
    assert keep(database, tape=polygon({"AAPL": {"round_lot": 100}, "MSFT": {}})) == (0, 0)
    assert keep(database, tape=polygon({"AAPL": {"round_lot": 100, "mic": "XNAS"}})) == (1, 0)
    ((after, mic, source),) = rows(database, "SELECT changed_at, mic, source FROM instrument WHERE symbol = 'AAPL'")
    assert (mic, source) == ("XNAS", "feeds.yaml, default")
    assert after > before[0]  # type: ignore[operator]
    # A symbol that has left feeds.yaml keeps its candles, and what is known of it.
    assert rows(database, "SELECT symbol FROM instrument ORDER BY 1") == [("AAPL",), ("MSFT",)]


def test_round_lots_have_their_days(database: Database) -> None:
    lots = "SELECT valid_from::text, round_lot, source FROM round_lot WHERE symbol = 'NVDA' ORDER BY valid_from"
    keep(database, tape=polygon({"NVDA": {"round_lot": 100}}))
    assert rows(database, lots) == [("0001-01-01", 100, "feeds.yaml")]
    keep(database, tape=polygon({"NVDA": {"round_lot": {"2000-01-01": 100, "2025-11-03": 40}}}))
    assert rows(database, lots) == [("2000-01-01", 100, "feeds.yaml"), ("2025-11-03", 40, "feeds.yaml")]
    keep(database, tape=polygon(["NVDA"]))
    assert rows(database, lots) == []


def test_a_round_lot_of_the_provider_is_valid_from_the_day_on_which_it_was_seen(database: Database) -> None:
    lots = "SELECT valid_from = (now() AT TIME ZONE 'UTC')::date, round_lot, source FROM round_lot ORDER BY valid_from"
    answer = (
        "INSERT INTO ticks_platform.instrument_reference "
        "VALUES ('tape', 'NVDA', 'NVDA', 'stock', 'XNAS', 'USD', {}, false, now(), NULL, now())"
    )
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO round_lot VALUES ('NVDA', '2025-11-03', 100, 'polygon')")
        cursor.execute(answer.format(100))
    assert keep(database, tape=polygon(["NVDA"])) == (1, 0)
    assert rows(database, lots) == [(False, 100, "polygon")]
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.instrument_reference SET round_lot = 40")
    assert keep(database, tape=polygon(["NVDA"])) == (0, 1)
    assert keep(database, tape=polygon(["NVDA"])) == (0, 0)
    assert rows(database, lots) == [(False, 100, "polygon"), (True, 40, "polygon")]


def test_rows_of_other_symbols_are_left_alone(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO instrument (symbol, may_be_negative) VALUES ('MY_SPREAD', true)")
    keep(database, tape=polygon(["AAPL"]))
    assert rows(database, "SELECT source FROM instrument WHERE symbol = 'MY_SPREAD'") == [("manual",)]
