"""Bits that are computed again from conditions: only where they differ, only bits 1 to 4, and the candles follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.us_stocks.conditions import Rule, Rules, packaged_rules
from ticks_platform.ingestion import eligibility
from ticks_platform.ingestion.eligibility import Changed
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import changed_hours, count_by_hour, rows

DAY = datetime(2026, 11, 27, tzinfo=timezone.utc)
"""A half day: regular hours are from 14:30 to 18:00."""

NOON = DAY + timedelta(hours=17)


def rule(version: int, condition: int, *flags: bool, valid_from: date = date(2026, 1, 1)) -> Rule:
    return Rule(version, valid_from, "polygon", condition, "a name", "", *flags)


ODD_LOTS_SET_PRICES = Rules([*packaged_rules().rules, rule(2, 37, True, True, True)])


def store(database: Database, *ticks: tuple[Any, ...], feed: str = "tape", symbol: str = "AAPL") -> None:
    """Ticks of price, conditions, updates and, if they are not of one minute at noon, time."""
    with database.transaction() as cursor:
        for number, (price, conditions, updates, *at) in enumerate(ticks):
            time = at[0] if at else NOON + timedelta(seconds=number)
            cursor.execute(
                """
                INSERT INTO stocks_real_time
                    (time, symbol, price, size, tick_id, feed, received_at, updates, conditions)
                VALUES (%(at)s, %(symbol)s, %(price)s, 10,
                    (lpad(to_hex((extract(epoch FROM %(at)s) * 1000)::bigint), 12, '0') || '7000'
                    || '8000' || lpad(%(number)s::text, 12, '0'))::uuid, %(feed)s, %(at)s, %(updates)s, %(conditions)s)
                """,
                {
                    "at": time,
                    "symbol": symbol,
                    "price": price,
                    "number": number,
                    "feed": feed,
                    "updates": updates,
                    "conditions": conditions,
                },
            )
    with database.autocommit() as cursor:
        late_ticks.refresh_days(cursor, DAY, DAY + timedelta(days=1))


def bits(database: Database, symbol: str = "AAPL") -> list[int | None]:
    query = f"SELECT updates FROM stocks_real_time WHERE symbol = '{symbol}' ORDER BY feed DESC, tick_id"
    return [updates for (updates,) in rows(database, query)]


def candles(database: Database, candle: str = "one_minute_candle") -> list[tuple[Any, ...]]:
    return rows(
        database, f"SELECT symbol, open, high, low, close, volume, price_count FROM {candle} ORDER BY 1, bucket"
    )


def compress(database: Database) -> None:
    rows(database, "SELECT compress_chunk(chunk) FROM show_chunks('stocks_real_time') AS chunk")


TICKS: Sequence[tuple[Any, ...]] = (
    (250.0, None, None),
    (260.0, [37], 4),
    (300.0, [37], 12),  # cancelled
    (301.0, [37], 20),  # secondary
    (302.0, [37], 28),
    (303.0, [14, 41], 15),
    (240.0, [2], 4),
    (251.0, [14, 41], None),
    (304.0, [37, 2], 4),
    (252.0, [99], None),
    (235.0, None, 4),  # whatever set this, it was not its conditions
)


@pytest.mark.parametrize("compressed", [False, True])
def test_changed_rules(database: Database, compressed: bool) -> None:
    """Nothing is revived that was cancelled, or is of a secondary feed."""
    store(database, *TICKS)
    before = bits(database)
    assert candles(database) == [("AAPL", 250.0, 252.0, 250.0, 252.0, 70.0, 3)]
    count_by_hour(database)
    if compressed:
        compress(database)
    assert eligibility.recompute(database, ["tape"], DAY, packaged_rules()) == []
    assert bits(database) == before
    changed = eligibility.recompute(database, ["tape"], DAY, ODD_LOTS_SET_PRICES)
    assert changed == [Changed("AAPL", (37,), 4, 7, 4)]
    assert bits(database) == [None, None, 15, 23, 31, 15, 4, None, 4, None, 4]
    assert changed_hours(database) == 0
    for candle in ("one_minute_candle", "one_hour_candle", "one_day_candle"):
        assert candles(database, candle) == [("AAPL", 250.0, 260.0, 250.0, 252.0, 70.0, 4)]
    assert eligibility.recompute(database, ["tape"], DAY, ODD_LOTS_SET_PRICES) == []
    if compressed:
        compress(database)
    assert eligibility.recompute(database, ["tape"], DAY, packaged_rules()) == [Changed("AAPL", (37,), 7, 4, 4)]
    assert bits(database) == before
    assert candles(database) == [("AAPL", 250.0, 252.0, 250.0, 252.0, 70.0, 3)]


def test_only_what_was_asked_for(database: Database) -> None:
    other_day = DAY + timedelta(days=1)
    store(database, (250.0, [37], 4), (251.0, [37], 4, other_day))
    store(database, (250.0, [37], 4), feed="options")
    store(database, (250.0, [37], 4), symbol="MSFT")
    store(database, (250.0, [2], 4), symbol="NVDA")
    compress(database)
    changed = eligibility.recompute(database, ["tape"], DAY, ODD_LOTS_SET_PRICES)
    assert {(each.symbol, each.ticks) for each in changed} == {("AAPL", 1), ("MSFT", 1)}
    found = rows(
        database, "SELECT symbol, feed, time::date - '2026-11-27', updates FROM stocks_real_time ORDER BY 1, 2, 3"
    )
    assert found == [
        ("AAPL", "options", 0, 4),
        ("AAPL", "tape", 0, None),
        ("AAPL", "tape", 1, 4),
        ("MSFT", "tape", 0, None),
        ("NVDA", "tape", 0, 4),
    ]
    assert eligibility.recompute(database, [], DAY, ODD_LOTS_SET_PRICES) == []


def test_form_t_and_a_rule_that_begins_within_the_day(database: Database) -> None:
    """The day of New York begins at 05:00."""
    hours = (0, 4.99, 5, 14.49, 14.5, 17.99, 18, 23.99)
    store(database, *((250.0, c, 0, DAY + timedelta(hours=hour)) for hour in hours for c in ([12], [2])))
    rules = Rules([*packaged_rules().rules, rule(2, 2, False, True, True, valid_from=date(2026, 11, 27))])
    eligibility.recompute(database, ["tape"], DAY, rules)
    found = rows(database, "SELECT conditions[1], updates FROM stocks_real_time ORDER BY time, conditions")
    assert [updates for condition, updates in found if condition == 12] == [None] * 4 + [4, 4] + [None] * 2
    assert [updates for condition, updates in found if condition == 2] == [4, 4] + [6] * 6


def test_stored_bits_are_those_that_would_be_computed_again(database: Database) -> None:
    """Every rule of the table, decoded and stored at times in and out of regular hours."""
    rules = packaged_rules()
    times = [DAY + timedelta(hours=hour) for hour in (13, 15, 19)]
    ticks = []
    for at in times:
        for known in rules.rules:
            conditions = rules.of([known.condition])
            ticks.append((1.0, [known.condition], rules.updates(conditions, round(at.timestamp()) * 10**9), at))
    store(database, *ticks)
    assert eligibility.recompute(database, ["tape"], DAY, rules) == []


def test_feeds_with_rules() -> None:
    feeds = [
        FeedSettings.model_validate({"name": name, "symbols": {"A": "A"}, "endpoint": "stand-in", **options})
        for name, options in {
            "tape": {"provider": "polygon"},
            "options": {"provider": "polygon", "options": {"market": "options"}},
            "coins": {"provider": "polygon", "options": {"market": "crypto"}},
            "stocks": {"provider": "twelve_data"},
            "letters": {"provider": "alpaca"},
        }.items()
    ]
    assert eligibility.feeds_with_rules(feeds) == ["tape", "letters"]
