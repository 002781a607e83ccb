"""The rules of trade conditions are in the database as in the package."""

from __future__ import annotations

from ticks_platform.feeds.polygon.conditions import packaged_rules
from ticks_platform.ingestion import trade_conditions
from ticks_platform.timescale.database import Database


def test_rules_are_added_once(database: Database) -> None:
    for _ in range(2):
        with database.transaction() as cursor:
            trade_conditions.store(cursor)
    with database.transaction() as cursor:
        cursor.execute("SELECT * FROM ticks_platform.trade_condition")
        found = cursor.fetchall()
    assert sorted(found) == sorted(map(tuple, packaged_rules().rules))
