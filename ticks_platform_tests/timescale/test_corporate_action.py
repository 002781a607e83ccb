"""The table of splits and dividends refuses what no view could use."""

from __future__ import annotations

import psycopg2.errors
import pytest

from ticks_platform.timescale.database import Database

INSERT = "INSERT INTO corporate_action (symbol, kind, execution_date, split_from, split_to, cash_amount) VALUES "


@pytest.mark.parametrize(
    "values",
    [
        "('AAPL', 'split', '2020-08-31', 1, NULL, NULL)",
        "('AAPL', 'split', '2020-08-31', 0, 4, NULL)",
        "('AAPL', 'split', '2020-08-31', 1, 'NaN', NULL)",
        "('AAPL', 'split', '2020-08-31', 1, 'Infinity', NULL)",
        "('AAPL', 'dividend', '2020-08-31', NULL, NULL, NULL)",
        "('AAPL', 'dividend', '2020-08-31', NULL, NULL, -0.2)",
        "('AAPL', 'merger', '2020-08-31', 1, 1, 1)",
    ],
)
def test_an_action_without_its_numbers_is_refused(database: Database, values: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation), database.transaction() as cursor:
        cursor.execute(INSERT + values)


def test_one_version_is_in_force(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(INSERT + "('AAPL', 'split', '2020-08-31', 1, 4, NULL)")
        cursor.execute("UPDATE corporate_action SET superseded_at = known_at")
        cursor.execute(INSERT + "('AAPL', 'split', '2020-08-31', 1, 5, NULL)")
    with pytest.raises(psycopg2.errors.UniqueViolation), database.transaction() as cursor:
        cursor.execute(INSERT + "('AAPL', 'split', '2020-08-31', 1, 6, NULL)")
