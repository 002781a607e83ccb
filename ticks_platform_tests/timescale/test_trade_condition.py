"""The table of trade conditions: the rows of the package, which are only added to."""

from __future__ import annotations

from ticks_platform.feeds.us_stocks.conditions import packaged_rules
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows

TABLE = "SELECT * FROM ticks_platform.trade_condition ORDER BY provider, condition, rules_version"


def test_the_table_has_the_packages_rows(database: Database) -> None:
    stored = rows(database, TABLE)
    assert stored == sorted(map(tuple, packaged_rules().rules), key=lambda rule: (rule[2], rule[3], rule[0]))
    with database.transaction() as cursor:
        sql_files.apply(cursor, "schema/trade_condition.sql")
    assert rows(database, TABLE) == stored


def test_rows_that_are_there_stay(database: Database) -> None:
    """A row's words may change; what it said when ticks were decoded with it must not."""
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.trade_condition SET name = 'before' WHERE condition = 2")
        cursor.execute("DELETE FROM ticks_platform.trade_condition WHERE condition = 37")
        sql_files.apply(cursor, "schema/trade_condition.sql")
        cursor.execute("SELECT condition, name FROM ticks_platform.trade_condition WHERE condition IN (2, 37)")
        assert dict(cursor.fetchall()) == {2: "before", 37: "Odd Lot Trade"}
        cursor.execute("ROLLBACK")
