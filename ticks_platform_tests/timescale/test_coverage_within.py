"""`ticks_platform.coverage_within`: the coverage of a time, whatever else there is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.timescale.database import Database

AT = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize("hours", [20, 24, 25, 400])
def test_long_coverage_is_found_behind_any_number_of_short_ones(database: Database, hours: int) -> None:
    """As while a second owner, or a second connection, loses its connection again and again."""
    long = (AT - hours * HOUR, AT + MINUTE)
    short = [(AT - (2 * number + 3) * MINUTE, AT - (2 * number + 2) * MINUTE) for number in range(100)]
    lasting = (AT - 500 * HOUR, None)
    within = (AT, AT + MINUTE)
    over = [(AT - 600 * HOUR, AT - 500 * HOUR), (AT - 30 * HOUR, AT), (AT + 10 * MINUTE, AT + 11 * MINUTE)]
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('one', 'twelve_data', true)"
        )
        for connection, (begins, ends) in enumerate([long, *short, lasting, within, *over]):
            cursor.execute(
                "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, "
                "connection) VALUES ('one', 'AAPL', %s, %s, %s, 1, %s)",
                (begins, ends, ends and "disconnected", connection),
            )
        cursor.execute(
            "SELECT begins_at, ends_at FROM ticks_platform.coverage_within('one', 'AAPL', %s, %s)",
            (AT, AT + 10 * MINUTE),
        )
        assert sorted(cursor.fetchall(), key=str) == sorted([long, lasting, within], key=str)
