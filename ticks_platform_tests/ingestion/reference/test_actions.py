"""What a provider says of splits and dividends, changed and withdrawn, as versions in the table."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from ticks_platform.feeds.corporate_actions import Action
from ticks_platform.ingestion.reference import actions
from ticks_platform.ingestion.reference.actions import Change
from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.database import Database
from ticks_platform_tests.timescale.candles.test_session_day_candle import insert, instant, session

NAMES = {"AAPL": "AAPL", "KO": "KO"}


def split(on: str, new: float, provider_id: str = "s1", symbol: str = "AAPL", factor: float | None = None) -> Action:
    return Action(symbol, "split", date.fromisoformat(on), 1.0, new, None, None, factor, provider_id)


def dividend(on: str, cash: float, factor: float | None = None, symbol: str = "KO") -> Action:
    return Action(symbol, "dividend", date.fromisoformat(on), None, None, cash, "USD", factor, f"{symbol} {on}")


def keep(
    database: Database, *said: Action, kind: Any = "split", source: str = "polygon", since: str = "0001-01-01"
) -> Change:
    with database.transaction() as cursor:
        return actions.keep(cursor, source, kind, NAMES, said, since=date.fromisoformat(since))


def rows(database: Database, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM corporate_action WHERE {where} ORDER BY symbol, known_at, execution_date"
        )
        return cursor.fetchall()


def test_what_is_said_again_is_no_new_version(database: Database) -> None:
    assert keep(database, split("2030-01-07", 4)) == Change(1, 0, 0)
    assert keep(database, split("2030-01-07", 4)) == Change(0, 0, 0)
    assert rows(database, "symbol, split_to, superseded_at") == [("AAPL", 4.0, None)]


def test_an_announced_split_that_changes_keeps_what_was_known(database: Database) -> None:
    keep(database, split("2030-01-07", 4))
    between = rows(database, "clock_timestamp()")[0][0]
    assert keep(database, split("2030-01-14", 5)) == Change(1, 1, 0)
    first, second = rows(database, "execution_date, split_to, known_at, superseded_at")
    assert first[:2] == (date(2030, 1, 7), 4.0)
    assert second[:2] == (date(2030, 1, 14), 5.0)
    assert first[3] == second[2]
    assert second[3] is None
    assert_known(database, between, [(date(2030, 1, 7), 4.0)])
    assert_known(database, second[2], [(date(2030, 1, 14), 5.0)])


def assert_known(database: Database, at: datetime, expected: list[tuple[Any, ...]]) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT execution_date, split_to FROM corporate_action "
            "WHERE known_at <= %(at)s AND (superseded_at IS NULL OR superseded_at > %(at)s)",
            {"at": at},
        )
        assert cursor.fetchall() == expected


def test_a_withdrawn_split_ends_and_may_come_again(database: Database) -> None:
    keep(database, split("2030-01-07", 4))
    assert keep(database) == Change(0, 0, 1)
    assert keep(database, split("2030-01-07", 4)) == Change(1, 0, 0)
    assert [row[0] is None for row in rows(database, "superseded_at")] == [False, True]


def test_a_record_with_another_id_is_a_change(database: Database) -> None:
    keep(database, split("2030-01-07", 4, "s1"))
    assert keep(database, split("2030-01-07", 5, "s2")) == Change(1, 1, 0)
    assert rows(database, "split_to", "superseded_at IS NULL") == [(5.0,)]


def test_what_is_out_of_the_plans_reach_stays(database: Database) -> None:
    keep(database, split("2020-08-31", 4, "old"), split("2030-01-07", 2, "new"))
    assert keep(database, since="2024-01-01") == Change(0, 0, 1)
    assert rows(database, "split_to", "superseded_at IS NULL") == [(4.0,)]


def test_cumulative_factors_follow_without_a_new_version(database: Database) -> None:
    keep(database, dividend("2025-03-13", 0.5, 0.99), kind="dividend")
    assert keep(database, dividend("2025-03-13", 0.5, 0.98), dividend("2025-06-13", 0.5, 0.99), kind="dividend") == (
        1,
        0,
        0,
    )
    assert rows(database, "historical_adjustment_factor") == [(0.98,), (0.99,)]


def test_another_provider_takes_over(database: Database) -> None:
    """The symbol's primary feed has another provider now: its actions would be applied beside the old ones."""
    keep(database, split("2020-08-31", 4))
    keep(database, dividend("2025-03-13", 0.5, 0.99), kind="dividend")
    assert keep(database, split("2020-08-31", 4, "2020-08-31"), source="twelve_data") == Change(1, 1, 0)
    assert rows(database, "kind, source", "superseded_at IS NULL") == [
        ("split", "twelve_data"),
        ("dividend", "polygon"),
    ]


def test_own_rows_are_left_alone(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to) "
            "VALUES ('AAPL', 'split', '2020-08-31', 1, 4)"
        )
    assert keep(database) == Change(0, 0, 0)
    assert rows(database, "source, superseded_at") == [("manual", None)]


def test_factors_of_dividends_without_a_providers(database: Database) -> None:
    """1 - 1/50 and 1 - 0.49/49, from the closes before; none where there is no close, or a provider's factor."""
    sessions = [session(f"2026-01-0{day}", "14:30", "21:00", "05:00") for day in (5, 6, 7)]
    with database.transaction() as cursor:
        market_calendar.keep(
            cursor,
            {"XNYS": sessions},
            {("stocks", "KO"): ("XNYS", "XNYS"), ("stocks", "AAPL"): ("XNYS", "XNYS")},  # type: ignore[dict-item]
            begin=instant("2026-01-01"),
            end=instant("2026-02-01"),
        )
    for symbol in NAMES:
        insert(
            database,
            symbol,
            "('2026-01-05 15:00:00+00', 50::float8, null::bigint, 1::float8)",
            "('2026-01-06 15:00:00+00', 49, null, 1)",
            "('2026-01-07 15:00:00+00', 48.6, null, 1)",
        )
    said = (
        dividend("2019-01-06", 0.5),
        dividend("2026-01-06", 1),
        dividend("2026-01-07", 0.49),
        dividend("2999-01-01", 0.5),
        dividend("2026-01-06", 1, symbol="AAPL"),
        dividend("2026-01-07", 1, 0.9, symbol="AAPL"),
    )
    keep(database, *said, kind="dividend", source="twelve_data")
    with database.transaction() as cursor:
        assert actions.compute_price_factors(cursor, list(NAMES)) == 2
        assert actions.compute_price_factors(cursor, list(NAMES)) == 0
        cursor.execute("SELECT adj_close FROM session_day_candle_adjusted WHERE symbol = 'KO' ORDER BY session")
        assert [round(close, 9) for (close,) in cursor.fetchall()] == [48.51, 48.51, 48.6]


def test_a_dividend_in_pounds_of_a_price_in_pence(database: Database) -> None:
    """1 - 5/50 of five pence, said in either unit; none in another currency."""
    quotes = (
        "('2026-01-05 15:00:00+00', 50::float8, null::bigint, 1::float8)",
        "('2026-01-06 15:00:00+00', 45, null, 1)",
    )
    for symbol, amount, unit in (("P1", 0.05, "GBP"), ("P2", 5, "GBX"), ("P3", 0.05, "USD")):
        insert(database, symbol, *quotes)
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO instrument (symbol, currency) VALUES (%s, 'GBX')", (symbol,))
            cursor.execute(
                "INSERT INTO corporate_action (symbol, kind, execution_date, cash_amount, currency) "
                "VALUES (%s, 'dividend', '2026-01-06', %s, %s)",
                (symbol, amount, unit),
            )
    with database.transaction() as cursor:
        actions.compute_price_factors(cursor, ["P1", "P2", "P3"])
    found = rows(database, "symbol, round(price_factor::numeric, 9)::float8")
    assert found == [("P1", 0.9), ("P2", 0.9), ("P3", None)]


def test_a_dividend_of_more_than_the_price_has_no_factor(database: Database) -> None:
    """It would make prices negative."""
    insert(database, "KO", "('2026-01-05 15:00:00+00', 10::float8, null::bigint, 1::float8)")
    insert(database, "KO", "('2026-01-06 15:00:00+00', 2::float8, null::bigint, 1::float8)")
    keep(database, dividend("2026-01-06", 12), kind="dividend", source="twelve_data")
    with database.transaction() as cursor:
        actions.compute_price_factors(cursor, ["KO"])
        cursor.execute("SELECT close, adj_close FROM session_day_candle_adjusted ORDER BY session")
        assert cursor.fetchall() == [(10, 10), (2, 2)]


def test_a_dividend_on_the_day_of_a_split_is_of_new_shares(database: Database) -> None:
    """1 - 1/100: the close before, 1,000, is 100 after a split 10:1, which is said twice."""
    insert(database, "KO", "('2026-01-05 15:00:00+00', 1000::float8, null::bigint, 1::float8)")
    insert(database, "KO", "('2026-01-06 15:00:00+00', 99::float8, null::bigint, 1::float8)")
    keep(database, split("2026-01-06", 10, symbol="KO"), source="twelve_data")
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to) "
            "VALUES ('KO', 'split', '2026-01-06', 1, 10)"
        )
    keep(database, dividend("2026-01-06", 1), kind="dividend", source="twelve_data")
    with database.transaction() as cursor:
        assert actions.compute_price_factors(cursor, ["KO"]) == 1
    assert rows(database, "price_factor", "kind = 'dividend'") == [(0.99,)]
