"""Checks ask what is known of the instrument: may its price be negative, what is its tick size, has it been split."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import ERROR, WARN, CheckOne, examples, insert, number, refresh

WTI = [20.0, 10.0, 5.0, 0.01, 0.0, -2.5, -13.1, -37.63, -40.32, -30.0]
"""The future of May 2020 on its last day but one."""


def know(database: Database, symbol: str, **facts: object) -> None:
    """A row of the table instrument."""
    with database.transaction() as cursor:
        columns = ", ".join(facts)
        cursor.execute(
            f"INSERT INTO instrument (symbol, {columns}) VALUES (%s{', %s' * len(facts)})", (symbol, *facts.values())
        )


def split(database: Database, at: datetime, **action: object) -> None:
    """A row of corporate_action, and a session of XNYS that begins its day at a time."""
    day = at.date()
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.market_session VALUES ('XNYS', %s, %s, %s, %s, %s)",
            (at + timedelta(minutes=1), at + timedelta(hours=7), day, at, at + timedelta(hours=20)),
        )
        values = {"symbol": "AAPL", "kind": "split", "execution_date": day, "source": "polygon", **action}
        cursor.execute(
            f"INSERT INTO corporate_action ({', '.join(values)}) VALUES (%s{', %s' * (len(values) - 1)})",
            tuple(values.values()),
        )


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(minutes=minutes)


def wave(count: int, level: float = 100, step: float = 0.05) -> list[float]:
    """Prices that go up and down a little."""
    return [level + step * (number % 7) - 0.6 * step * (number % 3) for number in range(count)]


@pytest.mark.parametrize("price", [pytest.param(0, marks=pytest.mark.full), -37.63])
def test_prices_of_zero_and_less(database: Database, check_one: CheckOne, price: float) -> None:
    know(database, "CLK0", asset_class="future", may_be_negative=True)
    know(database, "AAPL", asset_class="stock", may_be_negative=False)
    insert(database, 20, price, 10, ago=40, symbol="CLK0")
    refresh(database)
    for check, asset in (
        ("prices_are_positive_and_finite", "stocks_real_time"),
        ("ohlc_invariants", "one_minute_candle"),
    ):
        found = check_one(check, asset)
        assert found.passed, (found.description, examples(found))
    insert(database, 20, price, 10, ago=40, symbol="AAPL")
    insert(database, 20, price, 10, ago=40, symbol="NOBODY_KNOWS")
    refresh(database)
    for check, asset in (
        ("prices_are_positive_and_finite", "stocks_real_time"),
        ("ohlc_invariants", "one_minute_candle"),
    ):
        found = check_one(check, asset)
        assert (found.passed, found.severity) == (False, ERROR)
        assert [row["symbol"] for row in examples(found)] == ["AAPL", "NOBODY_KNOWS"]
        assert {row["problem"] for row in examples(found)} == {
            "the price is not positive",
            "a price is not positive",
        } & {row["problem"] for row in examples(found)}


@pytest.mark.full
@pytest.mark.parametrize("price", ["NaN", "-Infinity", None])
def test_no_instrument_allows_what_is_no_number(database: Database, check_one: CheckOne, price: object) -> None:
    know(database, "CLK0", may_be_negative=True)
    insert(database, 20, price, symbol="CLK0")
    found = check_one("prices_are_positive_and_finite", "stocks_real_time")
    assert (found.passed, number(found, "offending")) == (False, 1)


def test_prices_that_fall_below_zero_do_not_jump(database: Database, check_one: CheckOne) -> None:
    know(database, "CLK0", may_be_negative=True, tick_size=0.01)
    falling = [round(20 - 0.62 * step + 0.3 * (step % 4), 2) for step in range(95)]
    insert(database, *falling, ago=97, every=60, symbol="CLK0")
    found = check_one("prices_do_not_jump")
    assert found.passed, examples(found)
    assert number(found, "judged") == 94


@pytest.mark.full
def test_a_jump_of_a_price_that_may_be_negative_is_found(database: Database, check_one: CheckOne) -> None:
    know(database, "CLK0", may_be_negative=True, tick_size=0.01)
    prices = wave(90, level=-1, step=0.05)
    prices[60] = 400
    insert(database, *prices, ago=95, every=60, symbol="CLK0")
    found = check_one("prices_do_not_jump")
    assert (found.passed, found.severity, number(found, "offending")) == (False, WARN, 2)


def test_a_step_of_one_tick_is_no_jump(database: Database, check_one: CheckOne) -> None:
    prices = [0.02] * 60 + [0.025] + [0.02] * 20
    know(database, "PENNY", tick_size=0.005)
    insert(database, *prices, ago=90, every=60, symbol="PENNY")
    assert check_one("prices_do_not_jump").passed
    # Two steps at once are one.
    insert(database, 0.03, ago=8, symbol="PENNY")
    found = check_one("prices_do_not_jump")
    assert [row["to"] for row in examples(found)] == [0.03]


@pytest.mark.full
def test_steps_that_are_usual_are_no_jumps_where_the_price_mostly_stands_still(
    database: Database, check_one: CheckOne
) -> None:
    prices = [0.02 if (step // 5) % 2 else 0.0205 for step in range(80)]
    insert(database, *prices, ago=90, every=60, symbol="PENNY")
    found = check_one("prices_do_not_jump")
    assert found.passed, examples(found)
    insert(database, 0.2, ago=9, symbol="PENNY")
    found = check_one("prices_do_not_jump")
    assert 0.2 in [row["to"] for row in examples(found)]


@pytest.mark.parametrize(
    ("currency", "calendar", "is_unit"),
    [
        ("GBX", None, True),
        pytest.param("GBP", None, True, marks=pytest.mark.full),
        pytest.param(None, "XLON", True, marks=pytest.mark.full),
        pytest.param("ZAC", None, True, marks=pytest.mark.full),
        pytest.param("USD", None, False, marks=pytest.mark.full),
    ],
)
def test_pence_beside_pounds_are_a_changed_unit(
    database: Database, check_one: CheckOne, currency: str | None, calendar: str | None, is_unit: bool
) -> None:
    know(database, "VOD", currency=currency, calendar=calendar)
    prices = wave(60, 72.45, 0.03)
    prices[30:40] = [price / 100 for price in prices[30:40]]
    insert(database, *prices, ago=70, every=60, symbol="VOD")
    found = check_one("prices_do_not_jump")
    assert (found.passed, found.severity) == (False, WARN)
    assert (number(found, "offending"), number(found, "changed units")) == ((0, 2) if is_unit else (2, 0))
    assert ("the unit of prices changes 2 times, by a factor of 100 (VOD)" in (found.description or "")) == is_unit
    if is_unit:
        assert {row["problem"] for row in examples(found)} >= {
            f"the unit changed from {'GBP to GBX' if currency != 'ZAC' else 'ZAR to ZAC'}, a factor of 100"
        }


@pytest.mark.parametrize(
    ("action", "after", "passed"),
    [
        ({"split_from": 1, "split_to": 4}, 25.0, True),
        pytest.param({"split_from": 20, "split_to": 1}, 2000.0, True, marks=pytest.mark.full),
        pytest.param({"split_from": 1, "split_to": 4}, 100.0, True, marks=pytest.mark.full),
        pytest.param({"split_from": 1, "split_to": 4}, 50.0, False, marks=pytest.mark.full),
        pytest.param(
            {"split_from": 1, "split_to": 4, "superseded_at": "infinity"}, 25.0, False, marks=pytest.mark.full
        ),
        pytest.param({"kind": "dividend", "cash_amount": 15, "currency": "USD"}, 85.0, True, marks=pytest.mark.full),
        pytest.param({"kind": "dividend", "cash_amount": 15, "currency": "JPY"}, 85.0, False, marks=pytest.mark.full),
        pytest.param({"kind": "dividend", "cash_amount": 0.15, "currency": "USD"}, 85.0, False, marks=pytest.mark.full),
    ],
    ids=[
        "split",
        "reverse split",
        "price as before",
        "another ratio",
        "superseded",
        "dividend",
        "other money",
        "small",
    ],
)
def test_what_a_corporate_action_explains_is_no_jump(
    database: Database, check_one: CheckOne, action: dict[str, object], after: float, passed: bool
) -> None:
    know(database, "AAPL", currency="USD", calendar="XNYS")
    insert(database, *wave(50), *wave(30, after, 0.05 * after / 100), ago=90, every=60)
    split(database, minutes_ago(40), **action)
    found = check_one("prices_do_not_jump")
    assert found.passed is passed, examples(found)
    assert number(found, "judged") == 79


@pytest.mark.full
def test_a_split_explains_nothing_at_another_time(database: Database, check_one: CheckOne) -> None:
    know(database, "AAPL", calendar="XNYS")
    insert(database, *wave(50), *wave(30, 25, 0.0125), ago=90, every=60)
    split(database, minutes_ago(20), split_from=1, split_to=4)
    found = check_one("prices_do_not_jump")
    assert number(found, "offending") == 1


@pytest.mark.full
def test_an_action_of_ones_own_stands_for_those_of_providers(database: Database, check_one: CheckOne) -> None:
    know(database, "AAPL", calendar="XNYS")
    insert(database, *wave(50), *wave(30, 25, 0.0125), ago=90, every=60)
    split(database, minutes_ago(40), split_from=1, split_to=4, source="manual")
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to, source) "
            "SELECT symbol, kind, execution_date, 1, 2, 'polygon' FROM corporate_action"
        )
    assert check_one("prices_do_not_jump").passed
