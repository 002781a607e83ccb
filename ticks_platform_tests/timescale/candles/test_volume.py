"""The volume of a minute, where the provider tells only the day's volume so far."""

from __future__ import annotations

from ticks_platform.timescale.database import Database

TICKS = """
INSERT INTO stocks_real_time (time, symbol, price, day_volume, size, tick_id, feed, received_at)
SELECT at::timestamptz, symbol, 1, day_volume, size, lpad(to_hex(row_number() OVER (ORDER BY at)), 32, '0')::uuid,
    'test', at::timestamptz
FROM (VALUES {}) AS ticks (at, symbol, day_volume, size)
"""


def volumes(database: Database, *ticks: str) -> list[tuple[float | None, bool]]:
    with database.transaction() as cursor:
        cursor.execute(TICKS.format(", ".join(ticks)))
        cursor.execute("SELECT volume, derived FROM one_minute_candle_volume ORDER BY symbol, bucket")
        return cursor.fetchall()


def test_the_function_of_a_time_has_the_volumes_of_the_view(database: Database) -> None:
    days = [
        f"('2026-01-0{day} {hour}:{minute:02}:10+00', '{symbol}', {total}, {size})"
        for symbol, sizes in (("AAPL", False), ("MSFT", True))
        for day in (5, 6)
        for hour, minutes in ((14, (30, 31, 33, 59)), (20, (0, 1)))
        for minute in minutes
        for total in (1000 + hour * 60 + minute if day == 6 else 3 * (hour * 60 + minute),)
        for size in ("5::float8" if sizes and minute in (31, 0) else "null",)
    ]
    volumes(database, *days[:3], "('2026-01-05 14:34:10+00', 'AAPL', null, null)", *days[3:])
    with database.transaction() as cursor:
        cursor.execute("SELECT bucket, symbol, volume, derived FROM one_minute_candle_volume ORDER BY symbol, bucket")
        of_the_view = cursor.fetchall()
        assert len(of_the_view) == 25
        for bucket, symbol, volume, derived in of_the_view:
            # Each minute by itself: what it follows is looked up before it.
            cursor.execute(
                "SELECT volume, derived FROM ticks_platform.derived_volumes(%s, %s, %s + INTERVAL '1 minute')",
                ([symbol], bucket, bucket),
            )
            assert cursor.fetchall() == [(volume, derived)], (bucket, symbol)
        cursor.execute(
            "SELECT bucket, symbol, volume, derived "
            "FROM ticks_platform.derived_volumes(NULL, '-infinity', 'infinity') ORDER BY symbol, bucket"
        )
        assert cursor.fetchall() == of_the_view


def test_nothing_is_lost_between_two_minutes(database: Database) -> None:
    found = volumes(
        database,
        "('2026-01-05 14:30:10+00', 'AAPL', 100::bigint, null::float8)",
        "('2026-01-05 14:30:50+00', 'AAPL', 150, null)",
        "('2026-01-05 14:31:05+00', 'AAPL', 210, null)",
        "('2026-01-05 14:33:05+00', 'AAPL', 300, null)",
    )
    assert found == [(150.0, True), (60.0, True), (90.0, True)], "last minus first would be 50, 0 and 0"


def test_a_session_that_crosses_midnight_goes_on_and_the_next_one_begins_at_zero(database: Database) -> None:
    found = volumes(
        database,
        "('2026-01-05 23:59:10+00', 'AAPL', 1000::bigint, null::float8)",
        "('2026-01-06 00:30:00+00', 'AAPL', 1100, null)",
        "('2026-01-06 09:00:00+00', 'AAPL', 40, null)",
        "('2026-01-06 09:01:00+00', 'AAPL', 100, null)",
        "('2026-01-06 09:02:00+00', 'AAPL', 90, null)",
        "('2026-01-06 09:03:00+00', 'AAPL', 120, null)",
        "('2026-01-06 09:03:00+00', 'BTC/USD', 7, null)",
    )
    assert [volume for volume, _ in found] == [1000.0, 100.0, 40.0, 60.0, 0.0, 20.0, 7.0], (
        "a correction is not negative"
    )


def test_sizes_come_first_and_nothing_is_not_zero(database: Database) -> None:
    found = volumes(
        database,
        "('2026-01-05 14:30:10+00', 'AAPL', 100::bigint, 5::float8)",
        "('2026-01-05 14:31:10+00', 'AAPL', null, null)",
        "('2026-01-05 14:32:10+00', 'AAPL', 160, null)",
    )
    assert found == [(5.0, False), (None, False), (60.0, True)]
