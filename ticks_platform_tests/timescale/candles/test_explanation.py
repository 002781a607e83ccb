"""`explain_candle`: for ticks of each kind it tells where the prices come from, and what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import psycopg2
import psycopg2.errors
import pytest

from ticks_platform.timescale import readers
from ticks_platform.timescale.candles import explanation, explanation_text
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle
from ticks_platform.timescale.candles.explanation import NoAnswerError
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import refresh, tamper
from ticks_platform_tests.support.skips import ONLY_NATIVE, skip

MINUTE = datetime(2026, 3, 3, 20, 0, tzinfo=timezone.utc)

VOLUME, NO_OPEN_CLOSE, ALL = 4, 6, None
CANCELLED, SECONDARY = 15, 23


class Trade(NamedTuple):
    """A tick of the minute."""

    at: float
    """Seconds after its begin."""
    price: float
    size: float | None
    updates: int | None = ALL
    conditions: Sequence[int] | None = None
    trade_id: str | None = None
    feed: str = "tape"
    symbol: str = "AAPL"
    delay: float = 0.1
    """Seconds until it arrived."""


FIRST, HIGH, LOW, LAST = (
    Trade(1.1, 250.0, 100, trade_id="1"),
    Trade(14.2, 250.06, 200, ALL, (14, 41), "2"),
    Trade(31.0, 249.97, 100, trade_id="3"),
    Trade(52.4, 250.02, 100, trade_id="4"),
)
ORDINARY = (FIRST, HIGH, LOW, LAST)


@pytest.fixture
def database(database: Database) -> Database:
    """With two feeds."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) "
            "VALUES ('tape', 'polygon', true), ('tape_two', 'polygon', true)"
        )
    return database


def load(database: Database, *trades: Trade, minute: datetime = MINUTE) -> list[str]:
    """Store trades in the order of their arrival; their tick_ids."""
    ids = []
    with database.transaction() as cursor:
        for number, trade in enumerate(trades):
            at = minute + timedelta(seconds=trade.at)
            tick_id = f"{round(at.timestamp() * 1000):012x}70008000{number:012x}"
            cursor.execute(
                "INSERT INTO stocks_real_time "
                "(time, symbol, price, size, tick_id, exchange, trade_id, feed, received_at, updates, conditions) "
                "VALUES (%s, %s, %s, %s, %s, '11', %s, %s, %s, %s, %s::smallint[]) RETURNING tick_id::text",
                (
                    *(at, trade.symbol, trade.price, trade.size, tick_id, trade.trade_id, trade.feed),
                    *(at + timedelta(seconds=trade.delay), trade.updates),
                    None if trade.conditions is None else list(trade.conditions),
                ),
            )
            ids += [str(row[0]) for row in cursor.fetchall()]
    return ids


def explain(
    database: Database, symbol: str = "AAPL", at: datetime = MINUTE, candle: Candle = ONE_MINUTE
) -> explanation.Answer:
    with database.transaction() as cursor:
        answer = explanation.explain(cursor, symbol, at, candle)
    assert explanation_text.text(answer).isprintable() or "\n" in explanation_text.text(answer)
    return answer


def prices(answer: explanation.Answer) -> list[float | None]:
    return [answer["candle"][name] for name in ("open", "high", "low", "close", "volume")]


def sources(answer: explanation.Answer) -> list[str]:
    """Ids of the trades that open, high, low and close come from."""
    return [answer["prices"][name]["trade_id"] for name in ("open", "high", "low", "close") if name in answer["prices"]]


def left_out(answer: explanation.Answer) -> set[tuple[str, float, str]]:
    """What each tick that was left out would be, its price, and why."""
    return {(each["would_be"], each["price"], each["reason"]) for each in answer["left_out"]}


def groups(answer: explanation.Answer) -> dict[str, int]:
    """Ticks by what they may change."""
    return {" ".join(each["may_change"]) or each["reason"] or "nothing": each["ticks"] for each in answer["groups"]}


def line(answer: explanation.Answer, beginning: str) -> str:
    """The line of the text that begins so."""
    lines = [each.strip() for each in explanation_text.text(answer).splitlines()]
    (found,) = [each for each in lines if each.startswith(beginning)]
    return found


def test_a_derived_volume_says_of_which_time_it_is(database: Database) -> None:
    with database.transaction() as cursor:
        for minute, day_volume in ((0, 100), (1, 160), (2, None), (4, 250)):
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, day_volume) VALUES (%s, 'AAPL', 1, %s)",
                (MINUTE + timedelta(minutes=minute), day_volume),
            )
    first, next_one, without, after_a_gap = (
        explain(database, at=MINUTE + timedelta(minutes=at)) for at in (0, 1, 2, 4)
    )
    assert line(first, "Its feed sends no trade sizes") == (
        "Its feed sends no trade sizes. Derived volume: 100, which is the volume of the day so far, since none of that "
        "day came before."
    )
    assert line(next_one, "Its feed").endswith("Derived volume: 60, by which the volume of the day grew in the minute.")
    assert without["derived_volume"] is None
    assert line(after_a_gap, "Its feed").endswith(
        "Derived volume: 90, which is that of 20:02:00Z to 20:05:00Z, since no volume of the day came in between."
    )
    assert explain(database, candle=ONE_HOUR)["derived_volume"]["volume"] == 250


def test_a_late_print_sets_low_and_would_be_the_close(database: Database) -> None:
    load(database, *ORDINARY, Trade(58, 249.1, 5000, NO_OPEN_CLOSE, (32,), "5"))
    answer = explain(database)
    assert (answer["answer"], prices(answer)) == ("candle", [250.0, 250.06, 249.1, 250.02, 5500])
    assert sources(answer) == ["1", "2", "5", "4"]
    assert left_out(answer) == {("close", 249.1, "conditions")}
    assert groups(answer) == {"open_close high_low volume": 4, "high_low volume": 1}
    assert answer["differs_from_its_ticks"] == []
    assert "Intermarket Sweep (14) + Trade Thru Exempt (41)" in line(answer, "high   250.06 at 20:00:14.2Z, size 200")
    assert line(answer, "would be close: 249.1").endswith("Sold (Out Of Sequence) (32) may not set open and close")


def test_an_average_price_forms_none(database: Database) -> None:
    load(database, *ORDINARY, Trade(40, 238.35, 25000, VOLUME, (2,), "7"))
    answer = explain(database)
    assert prices(answer) == [250.0, 250.06, 249.97, 250.02, 25500]
    assert left_out(answer) == {("low", 238.35, "conditions")}
    (low,) = answer["left_out"]
    assert [(each["condition"], each["name"]) for each in low["conditions"]] == [(2, "Average Price Trade")]
    assert line(answer, "would be low").endswith("Average Price Trade (2) forms no price")
    assert line(answer, "volume only") == "volume only: 1 tick, volume 25,000, price 238.35"
    assert line(answer, "Average Price Trade (2)").startswith("Average Price Trade (2): 1 tick")


def test_odd_lots_around_the_range(database: Database) -> None:
    odd = Trade(0.01, 250.31, 3, VOLUME, (37,), "9"), Trade(59.9, 250.44, 1, VOLUME, (14, 37, 41), "10")
    load(database, odd[0], *ORDINARY, odd[1])
    answer = explain(database)
    assert prices(answer) == [250.0, 250.06, 249.97, 250.02, 504]
    assert left_out(answer) == {(price, 250.44, "conditions") for price in ("high", "close")} | {
        ("open", 250.31, "conditions")
    }
    # The sweep forbids nothing.
    assert line(answer, "would be high").endswith("; Odd Lot Trade (37) forms no price")


def test_a_minute_of_odd_lots_has_no_prices(database: Database) -> None:
    load(database, Trade(5, 250.31, 3, VOLUME, (37,)), Trade(25, 249.0, 1, VOLUME, (37,)))
    answer = explain(database)
    assert (answer["answer"], answer["prices"]) == ("no_price", {})
    assert prices(answer) == [None, None, None, None, 4]
    assert {(would_be, price) for would_be, price, _ in left_out(answer)} == {
        ("open", 250.31), ("high", 250.31), ("low", 249.0), ("close", 249.0)
    }  # fmt: skip
    assert "four prices or none" in line(answer, "It has no prices")


def test_late_prints_alone_make_no_prices(database: Database) -> None:
    load(database, Trade(5, 251.0, 100, NO_OPEN_CLOSE, (32,)), Trade(25, 249.0, 300, NO_OPEN_CLOSE, (32,)))
    answer = explain(database)
    assert (answer["answer"], prices(answer)) == ("no_price", [None, None, None, None, 400])
    assert line(answer, "would be open and high: 251").endswith(
        "may not set open and close, and no tick of its minute may: there are four prices or none"
    )
    assert answer["candle"]["price_count"] == 0


def test_form_t_after_hours(database: Database) -> None:
    evening = MINUTE + timedelta(minutes=90)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO ticks_platform.symbol_calendar VALUES ('tape', 'AAPL', 'XNAS')")
        cursor.execute(
            "INSERT INTO ticks_platform.market_session VALUES "
            "('XNAS', '2026-03-03 14:30Z', '2026-03-03 21:00Z', '2026-03-03'), "
            "('XNAS', '2026-03-04 14:30Z', '2026-03-04 21:00Z', '2026-03-04')"
        )
    trades = (
        Trade(5, 251.0, 100, ALL, (12,), "13"),
        Trade(20, 255.0, 2, VOLUME, (12, 37), "14"),
        Trade(40, 251.2, 300, ALL, (12,), "15"),
    )
    load(database, *trades, minute=evening)
    answer = explain(database, at=evening)
    assert prices(answer) == [251.0, 251.2, 251.0, 251.2, 402]
    assert left_out(answer) == {("high", 255.0, "conditions")}
    assert [session["session"] for session in answer["sessions"]] == ["2026-03-03"]
    assert line(answer, "would be high").endswith("; Odd Lot Trade (37) forms no price")
    assert line(answer, "Regular hours").endswith("the minute is outside of them")
    load(database, Trade(1, 252.0, 100, VOLUME, (12,), "16"))
    assert line(explain(database), "would be open, high, low and close: 252").endswith(
        "Form T/Extended Hours (12) forms no price"
    )


def test_a_cancelled_trade(database: Database) -> None:
    ids = load(database, FIRST, Trade(20, 300.0, 10000, CANCELLED, None, "bust"), HIGH, LOW, LAST)
    with database.transaction() as cursor:
        correct(cursor, "cancelled", ids[1], "bust", 300.0, 10000)
        correct(cursor, "cancelled", None, "early", 99.0, 5)
    answer = explain(database)
    assert prices(answer) == [250.0, 250.06, 249.97, 250.02, 500]
    assert left_out(answer) == {("high", 300.0, "cancelled")}
    assert groups(answer) == {"open_close high_low volume": 4, "cancelled": 1}
    assert [(each["trade_id"], each["tick_id"]) for each in answer["corrections"]] == [
        ("bust", ids[1]),
        ("early", None),
    ]
    taken_back = line(answer, "cancelled: 300 at 20:00:20Z, size 10,000")
    assert taken_back.endswith("known since 20:21:00Z (REST correction 8)")
    assert line(answer, "cancelled: 99 ").endswith("its tick has not come")


def test_a_corrected_trade_names_the_one_that_replaces_it(database: Database) -> None:
    ids = load(database, *ORDINARY, Trade(20, 260.0, 50, CANCELLED, None, "x"), Trade(20.5, 250.01, 50, ALL, None, "x"))
    with database.transaction() as cursor:
        correct(cursor, "corrected", ids[4], "x", 260.0, 50)
    answer = explain(database)
    (correction,) = answer["corrections"]
    assert correction["replaced_by"]["tick_id"] == ids[5]
    assert line(answer, "corrected: 260 ").endswith("the corrected trade is 250.01, size 50")


def correct(cursor: Any, kind: str, tick_id: str | None, trade_id: str, price: float, size: float) -> None:
    """What the database has of a trade that was taken back."""
    cursor.execute(
        "INSERT INTO tick_correction (correction_id, time, symbol, exchange, trade_id, feed, kind, tick_id, known_at, "
        "source, price, size) "
        "VALUES (gen_random_uuid(), %s, 'AAPL', '11', %s, 'tape', %s, %s, %s, 'REST correction 8', %s, %s)",
        (
            MINUTE + timedelta(seconds=20),
            trade_id,
            kind,
            tick_id,
            MINUTE + timedelta(minutes=21 if tick_id else 20),
            price,
            size,
        ),
    )


def test_a_secondary_feed_makes_no_candle(database: Database) -> None:
    other = [Trade(at, price, None, SECONDARY, None, None, "stocks") for at, price in ((0, 249.6), (59, 249.8))]
    load(database, *ORDINARY, *other)
    answer = explain(database)
    assert prices(answer) == [250.0, 250.06, 249.97, 250.02, 500]
    assert left_out(answer) == {
        ("open", 249.6, "secondary"),
        ("low", 249.6, "secondary"),
        ("close", 249.8, "secondary"),
    }
    assert [(feed["feed"], feed["secondary"], feed["ticks"]) for feed in answer["feeds"]] == [
        ("tape", False, 4),
        ("stocks", True, 2),
    ]
    assert line(answer, "would be open").endswith("its feed stocks is secondary, and makes no candles")


def test_the_same_trades_in_a_second_feed_of_trades(database: Database) -> None:
    load(database, *ORDINARY, *(trade._replace(feed="tape_two", updates=SECONDARY) for trade in ORDINARY))
    answer = explain(database)
    assert prices(answer) == [250.0, 250.06, 249.97, 250.02, 500]
    assert {tick["feed"] for tick in answer["prices"].values()} == {"tape"}
    assert groups(answer) == {"open_close high_low volume": 4, "secondary": 4}
    assert left_out(answer) == set(), "the last one has the price of the close"
    load(database, FIRST._replace(feed="tape_three", at=9))
    assert line(explain(database), "MORE THAN ONE FEED MAKES THIS CANDLE")


def test_two_exchanges_are_two_symbols(database: Database) -> None:
    at = (
        (1, 60000.0, "Coinbase Pro"),
        (2, 60180.0, "Binance"),
        (40, 60010.0, "Coinbase Pro"),
        (41, 60195.0, "Binance"),
    )
    load(database, *(Trade(second, price, None, symbol=f"BTC/USD:{where}") for second, price, where in at))
    assert prices(explain(database, "BTC/USD:Binance")) == [60180.0, 60195.0, 60180.0, 60195.0, None]
    assert prices(explain(database, "BTC/USD:Coinbase Pro")) == [60000.0, 60010.0, 60000.0, 60010.0, None]
    with pytest.raises(NoAnswerError, match=r"did you mean BTC/USD:Binance or BTC/USD:Coinbase Pro\?"):
        explain(database, "btc/usd")


def test_the_official_close_is_shown_beside_the_candle(database: Database) -> None:
    close = MINUTE + timedelta(hours=1)
    load(
        database,
        Trade(0.1, 250.1, 300, trade_id="17"),
        Trade(0.3, 250.25, 4_000_000, ALL, (8, 9, 41), "18"),
        Trade(30, 250.2, 100, ALL, (12,), "20"),
        minute=close,
    )
    with database.transaction() as cursor:
        for exchange, is_primary in (("11", False), ("12", True)):
            cursor.execute(
                "INSERT INTO official_price "
                "VALUES (%s, 'AAPL', '2026-03-03', 'close', 250.25, 4000000, %s, %s, 'tape', now())",
                (close + timedelta(milliseconds=301), exchange, is_primary),
            )
    answer = explain(database, at=close)
    assert prices(answer) == [250.1, 250.25, 250.1, 250.2, 4000400]
    assert [(price["exchange"], price["price"]) for price in answer["official_prices"]] == [
        ("12", 250.25),
        ("11", 250.25),
    ]
    assert line(answer, "close 250.25 of exchange 12, which lists it, at 2026-03-03 21:00:00.301Z")


def test_conditions_that_are_in_no_table(database: Database) -> None:
    load(
        database,
        Trade(1, 250.0, 100, trade_id="1"),
        Trade(20, 250.5, 200, ALL, (99,), "2"),
        Trade(30, 260.0, 3, VOLUME, (37, 99), "3"),
        Trade(40, 249.5, 100, ALL, (57,), "4"),
    )
    answer = explain(database)
    assert prices(answer) == [250.0, 250.5, 249.5, 249.5, 403]
    unknown = {
        each["condition"] for entry in answer["conditions"] for each in entry["conditions"] if each["name"] is None
    }
    assert unknown == {99}
    assert line(answer, "low ").endswith("Short Sale Restriction Activated (57)")
    assert line(answer, "high ").endswith("unknown condition (99)")
    assert line(answer, "would be high").endswith("; Odd Lot Trade (37) forms no price")


def test_a_late_tick(database: Database) -> None:
    load(database, *ORDINARY, Trade(30, 250.5, 10, trade_id="late", delay=3600))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.candle_refresh VALUES ('one_hour_candle', %s, 5, %s)",
            (MINUTE, MINUTE + timedelta(hours=2)),
        )
    answer = explain(database)
    assert answer["late"]["ticks"] == 1
    assert line(answer, "1 tick arrived after 20:02:00Z").endswith("the last at 21:00:30Z")
    assert line(answer, "high   250.5").endswith("arrived at 21:00:30Z; no condition")
    assert line(answer, "last refreshed at 2026-03-03 22:00:00Z")


def test_gaps_coverage_and_rejected_events(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol VALUES ('tape', 'AAPL', '2026-03-01Z', NULL, 'always', NULL);"
            "INSERT INTO ticks_platform.feed_coverage VALUES "
            "('tape', 'AAPL', '2026-03-03 19:00Z', '2026-03-03 20:00:20Z', 'disconnected', 1, 1),"
            "('tape', 'AAPL', '2026-03-03 20:00:10Z', '2026-03-03 20:00:25.5Z', 'disconnected', 1, 2);"
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('tape', 'AAPL', '2026-03-03 20:00:25.5Z', '2026-03-03 20:07Z', 'disconnected');"
            "INSERT INTO ticks_platform.feed_checkpoint "
            "(journal_id, feed, position, frames, frames_before, committed_at) "
            "VALUES (gen_random_uuid(), 'tape', 0, 0, 0, now()) RETURNING journal_number"
        )
        (journal,) = cursor.fetchone() or (0,)
        for position, symbol in enumerate(("AAPL", "AAPL", "AA", "AAPLX")):
            cursor.execute(
                "INSERT INTO ticks_platform.rejected_event VALUES ('tape', %s, %s, %s, 'the price is no number', %s)",
                (journal, position, MINUTE + timedelta(seconds=3), f'{{"sym":"{symbol}"}}'.encode()),
            )
    answer = explain(database, at=MINUTE + timedelta(minutes=2))
    assert (answer["answer"], answer["recomputed"]) == ("feed_gap", None)
    assert line(answer, "There is no candle").endswith("see the gaps below.")
    answer = explain(database)
    assert [(feed["feed"], feed["seconds"]) for feed in answer["coverage"]] == [("tape", 25.5)]
    assert [(gap["cause"], gap["state"]) for gap in answer["gaps"]] == [("disconnected", "open")]
    assert line(answer, "gap of tape from 20:00:25.5Z to 20:07:00Z")
    assert line(answer, "2 events of tape rejected: the price is no number")
    with database.transaction() as cursor:
        cursor.execute(
            "DELETE FROM ticks_platform.feed_coverage WHERE connection = 1;"
            "UPDATE ticks_platform.feed_coverage SET is_first_kept = true"
        )
    answer = explain(database)
    assert [feed["seconds"] for feed in answer["coverage"]] == [None], "what came before is deleted, and not missing"
    assert line(answer, "how long tape received AAPL is not known")


def test_a_day_that_has_not_ended(database: Database) -> None:
    """It is received until now, and bars of a part of it are not compared."""
    now = datetime.now(timezone.utc)
    minute = now.replace(second=0, microsecond=0)
    load(database, Trade(0, 250.0, 100), minute=minute)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol VALUES ('tape', 'AAPL', %(since)s, NULL, 'always', NULL);"
            "INSERT INTO ticks_platform.feed_coverage VALUES ('tape', 'AAPL', %(since)s, NULL, NULL, 1, 1);"
            "INSERT INTO stock_aggregates VALUES ('AAPL', %(minute)s, %(minute)s + INTERVAL '1 minute', 250, 251, 250, "
            "250, 100, 250, 'tape', now())",
            {"since": now - timedelta(seconds=10), "minute": minute},
        )
    answer = explain(database, at=now, candle=ONE_DAY)
    ((feed, seconds),) = [(each["feed"], each["seconds"]) for each in answer["coverage"]]
    assert feed == "tape"
    assert 0 < seconds < 60
    assert line(answer, "The UTC day has not ended")
    assert line(answer, "tape, 1 bar").endswith("not compared, since the UTC day has not ended")
    (coverage,) = explain(database, at=now + timedelta(days=400))["coverage"]
    assert coverage["seconds"] == 0


@pytest.mark.parametrize(
    ("at", "answer"), [(MINUTE, "no_trade"), (datetime(2100, 1, 1, tzinfo=timezone.utc), "not_over")]
)
def test_no_candle(database: Database, at: datetime, answer: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol VALUES ('tape', 'AAPL', '2026-03-01Z', NULL, 'always', NULL)"
        )
    found = explain(database, at=at)
    assert (found["answer"], found["candle"]) == (answer, None)
    assert line(found, "There is no candle")


def test_the_providers_bar(database: Database) -> None:
    load(database, *ORDINARY)
    with database.transaction() as cursor:
        for feed, high, volume in (("same", 250.06, 500 * (1 + 1e-12)), ("other", 250.31, 503)):
            cursor.execute(
                "INSERT INTO stock_aggregates VALUES ('AAPL', %s, %s, 250, %s, 249.97, 250.02, %s, 250, %s, now())",
                (MINUTE, MINUTE + timedelta(minutes=1), high, volume, feed),
            )
    answer = explain(database)
    assert {bar["feed"]: bar["differs"] for bar in answer["bars"]} == {"same": [], "other": ["high", "volume"]}
    assert line(answer, "other, 1 bar").endswith("the candle differs in high, volume")
    load(database, Trade(2, 250.3, 3, SECONDARY, feed="other"))
    assert line(explain(database), "other, 1 bar").endswith("not compared, since the feed is secondary")


def test_bars_of_a_part_of_the_hour(database: Database) -> None:
    load(database, *ORDINARY)
    load(database, Trade(5, 260.0, 10), minute=MINUTE + timedelta(minutes=1))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stock_aggregates "
            "VALUES ('AAPL', %s, %s, 250, 250.06, 249.97, 250.02, 500, 250, 'tape', now())",
            (MINUTE, MINUTE + timedelta(minutes=1)),
        )
    assert "the candle differs in high, close, but 1 minute with prices has no bar" in line(
        explain(database, candle=ONE_HOUR), "tape, 1 bar"
    )


def test_the_volume_of_the_day_is_that_of_the_last_tick_that_has_one(database: Database) -> None:
    ids = load(database, *ORDINARY, LAST._replace(at=53.0, conditions=(41,)))
    with database.transaction() as cursor:
        cursor.execute("UPDATE stocks_real_time SET day_volume = 900 WHERE tick_id = %s", (ids[0],))
        cursor.execute("UPDATE stocks_real_time SET day_volume = 1000 WHERE tick_id = %s", (ids[2],))
    answer = explain(database)
    assert (answer["candle"]["day_volume"], answer["differs_from_its_ticks"]) == (1000, [])


def test_hours_and_days_take_prices_from_minutes_that_have_them(database: Database) -> None:
    """A late print of another minute, which has no price of its own, gives none to the hour."""
    load(database, *ORDINARY)
    load(database, Trade(2, 260.0, 7, NO_OPEN_CLOSE, (32,), "z"), minute=MINUTE + timedelta(minutes=3))
    load(database, Trade(0, 240.0, 7, VOLUME, (37,), "o"), minute=MINUTE - timedelta(hours=2))
    for candle in (ONE_HOUR, ONE_DAY):
        answer = explain(database, candle=candle)
        assert (prices(answer)[:4], sources(answer)) == ([250.0, 250.06, 249.97, 250.02], ["1", "2", "3", "4"])
        assert answer["differs_from_its_ticks"] == []
        assert ("high", 260.0, "conditions") in left_out(answer)
    assert (answer["minutes"], answer["minutes_without_prices"]) == (3, 2)
    assert line(answer, "2 minutes of its 3 with ticks have no prices")


def test_a_candle_that_its_ticks_do_not_make(database: Database) -> None:
    load(database, *ORDINARY)
    refresh(database)
    answer = explain(database)
    assert (answer["refresh"]["materialized"], answer["refresh"]["changed_since"]) == (True, False)
    assert tamper(database, "UPDATE {table} SET high = 300") == 1
    answer = explain(database)
    assert answer["differs_from_its_ticks"] == ["high"]
    assert "high 250.06" in line(answer, "ITS TICKS MAKE ANOTHER ONE, which differs in high")
    load(database, Trade(33, 251.0, 1, trade_id="new")._replace(feed="tape_two"))
    assert explain(database)["refresh"]["changed_since"] is True


def test_ticks_in_the_columnstore_and_ticks_that_are_gone(database: Database) -> None:
    load(database, *ORDINARY, Trade(40, 238.35, 25000, VOLUME, (2,), "7"))
    refresh(database)
    before = explain(database)
    with database.transaction() as cursor:
        cursor.execute("SELECT compress_chunk(show_chunks('stocks_real_time'))")
    assert {**explain(database), "refresh": None} == {**before, "refresh": None}
    with database.transaction() as cursor:
        cursor.execute("SELECT drop_chunks('stocks_real_time', older_than => %s)", (MINUTE + timedelta(days=7),))
    answer = explain(database)
    assert (answer["candle"], answer["recomputed"]) == (before["candle"], None)
    assert line(answer, "Its ticks are gone")


def test_only_the_chunk_of_the_bucket_is_locked(database: Database, server_url: str | None) -> None:
    """A lock is taken on what is planned: chunks of other days are not even looked at."""
    if server_url is None:
        skip(ONLY_NATIVE, "the embedded database shows no locks")
    load(database, *ORDINARY)
    load(database, *ORDINARY, minute=MINUTE - timedelta(days=10))
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT ticks_platform.explain_ticks('AAPL', %s, %s, %s)", (MINUTE, *[MINUTE + timedelta(minutes=1)] * 2)
        )
        cursor.execute(
            "SELECT count(DISTINCT relation) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
            "WHERE pid = pg_backend_pid() AND relkind = 'r' AND relname LIKE '%%\\_hyper\\_%%chunk'"
        )
        assert cursor.fetchone() == (1,)


def test_whoever_may_read_may_ask(database: Database) -> None:
    load(database, *ORDINARY)
    with database.transaction() as cursor:
        cursor.execute("CREATE ROLE explaining")
        readers.let_read(cursor, "explaining")
        cursor.execute(
            "SET LOCAL ROLE explaining; SET LOCAL search_path = pg_catalog; SET LOCAL timezone = 'Asia/Tokyo'"
        )
        cursor.execute("SELECT public.explain_candle('AAPL', %s)", (MINUTE,))
        (answer,) = cursor.fetchone() or ({},)
        cursor.connection.rollback()
    assert (answer["answer"], answer["bucket"]) == ("candle", "2026-03-03T20:00:00+00:00")


def test_a_width_that_no_candle_has(database: Database) -> None:
    with (
        pytest.raises(psycopg2.errors.InvalidParameterValue, match="no candle has the width"),
        database.transaction() as cursor,
    ):
        cursor.execute("SELECT explain_candle('AAPL', %s, '5 minutes')", (MINUTE,))


def test_an_unknown_symbol_and_a_missing_function(database: Database) -> None:
    load(database, *ORDINARY)
    with pytest.raises(NoAnswerError, match=r"no feed streams 'AAPK', .* did you mean AAPL\?"):
        explain(database, "AAPK")
    assert explain(database, at=MINUTE + timedelta(days=3))["answer"] == "not_wanted", "it has ticks at another time"
    with database.transaction() as cursor:
        cursor.execute("DROP FUNCTION explain_candle")
        with pytest.raises(NoAnswerError, match="bring_up"):
            explanation.explain(cursor, "AAPL", MINUTE)
        cursor.connection.rollback()


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("AAPL", "AAPL"),
        ("BTC/USD:Coinbase Pro", "'BTC/USD:Coinbase Pro'"),
        ("x](http://e/p.png) ![y", "'x](http://e/p.png) ![y'"),
        ("$(rm x)`'", "'$(rm x)`'\"'\"''"),
        ("--json", "-- --json"),
    ],
)
def test_the_command_can_be_pasted(symbol: str, shown: str) -> None:
    at = MINUTE.astimezone(timezone(timedelta(hours=-5)))
    assert explanation.command(symbol, at, ONE_MINUTE) == f"ticks explain {shown} 2026-03-03T20:00Z"
    assert explanation.command(symbol, at, ONE_DAY) == f"ticks explain --every 1d {shown} 2026-03-03T20:00Z"


def test_a_symbol_that_a_terminal_would_not_print(database: Database) -> None:
    assert "\x1b" not in explanation.command("\x1b[31m", MINUTE, ONE_MINUTE)
    load(database, Trade(1, 2.0, 3, symbol="\x1b[31m"))
    answer = explain(database, "\x1b[31m")
    assert "\x1b" not in explanation_text.text(answer)


@pytest.mark.parametrize(
    ("text", "hour", "has_zone"),
    [("2026-03-03T20:00", 20, False), ("2026-03-03 20:00Z", 20, True), ("2026-03-03T15:00:12-05:00", 20, True)],
)
def test_times(text: str, hour: int, has_zone: bool) -> None:
    at, zone = explanation.parse_time(text)
    assert (at.hour, at.utcoffset(), zone) == (hour, timedelta(0), has_zone)
