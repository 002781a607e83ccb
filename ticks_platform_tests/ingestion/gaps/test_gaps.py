"""Gaps computed from coverage, configured symbols and calendars, and how the table follows them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from psycopg2.extras import execute_values

from ticks_platform.feeds.calendars import calendar
from ticks_platform.ingestion.gaps import coverage, gaps, killed_coverage
from ticks_platform.ingestion.gaps.coverage import ConfiguredSymbols
from ticks_platform.ingestion.gaps.gaps import ConfiguredSpan, Span, Updated
from ticks_platform.ingestion.lease import DEAD_AFTER
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import TakeLease, rows

FOREVER = 1 << 62
US_HOURS = "XNYS 04:00-20:00"
BEGIN = datetime(2025, 3, 4, 12, tzinfo=timezone.utc)
"""A Tuesday; New York opens two and a half hours later."""

Times = tuple[float, float | None]


def us(seconds: float | None) -> int:
    """Microseconds since the Unix epoch, given seconds after BEGIN."""
    return FOREVER if seconds is None else int((BEGIN.timestamp() + seconds) * 1e6)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def found(
    covered: Sequence[tuple[float, float | None, str]],
    *,
    configured: Sequence[Times] = ((0, None),),
    since: float = 0,
    until: float = 100,
    name: str = "always",
    refusal: str | None = None,
    ended_by: str | None = None,
) -> list[tuple[float, float | None, str]]:
    """The computed gaps, in seconds after BEGIN."""
    spans = [Span(us(begin), us(end), by) for begin, end, by in covered]
    configured_spans = [ConfiguredSpan(us(begin), us(end), calendar(name), refusal) for begin, end in configured]
    return [
        ((gap.begin - us(0)) / 1e6, None if gap.end == FOREVER else (gap.end - us(0)) / 1e6, gap.cause)
        for gap in gaps.compute(spans, configured_spans, since=us(since), until=us(until), ended_by=ended_by)
    ]


def test_uncovered_time_is_a_gap() -> None:
    assert found([(1, 20, "disconnected"), (25, 40, "killed"), (44, None, "")]) == [
        (20, 25, "disconnected"),
        (40, 44, "killed"),
    ]


def test_a_lasting_gap_has_no_end() -> None:
    assert found([(1, 20, "stopped")]) == [(20, None, "stopped")]


def test_a_gap_lasts_until_coverage_that_began_in_the_future_by_another_clock() -> None:
    assert found([(1, 20, "killed"), (130, 131, "killed")]) == [(20, 130, "killed")]


def test_overlapping_owners_and_connections_cover_together() -> None:
    assert found([(1, 30, "stopped"), (28, 50, "killed"), (29, 31, "disconnected"), (50, None, "")]) == []


def test_the_cause_is_what_ended_the_last_coverage() -> None:
    assert found([(1, 30, "stopped"), (20, 40, "killed"), (41, None, "")]) == [(40, 41, "killed")]
    assert found([(41, None, "")], since=40, ended_by="silent") == [(40, 41, "silent")]


def test_a_quick_first_subscription_is_no_gap() -> None:
    assert found([(9, None, "")]) == []
    assert found([(11, None, "")]) == [(0, 11, "not_subscribed")]
    assert found([], until=9) == []
    assert found([], until=11, refusal="not in your plan") == [(0, None, "refused")]


def test_a_connection_without_data_does_not_divide_a_gap() -> None:
    covered = [(1, 20, "stalled"), (25, 25, "disconnected"), (30, None, "")]
    assert found(covered) == [(20, 30, "stalled")]


def test_data_missed_by_the_first_connection_is_a_gap() -> None:
    """It was subscribed, however soon it was lost: some ticks may have arrived, and others not."""
    assert found([(1, 1, "disconnected"), (3, None, "")]) == [(1, 3, "disconnected")]
    assert found([(1, 1, "disconnected")], until=5) == [(1, None, "disconnected")]
    configured = [(0, 30), (60, None)]
    covered = [(1, 30, "unsubscribed"), (61, 61, "stalled"), (65, None, "")]
    assert found(covered, configured=configured) == [(61, 65, "stalled")]
    assert found([(11, 11, "disconnected"), (12, None, "")]) == [(0, 12, "not_subscribed")]


def test_time_without_the_symbol_in_the_settings_is_no_gap() -> None:
    configured = [(0, 30), (60, None)]
    assert found([(1, 20, "disconnected"), (61, None, "")], configured=configured) == [(20, 30, "disconnected")]
    assert found([(1, 20, "disconnected"), (75, None, "")], configured=configured)[1:] == [(60, 75, "not_subscribed")]


def test_overlapping_times_in_the_settings_make_no_gap_twice() -> None:
    """As owners make them whose clocks disagree."""
    assert found([(1, 10, "stopped")], configured=[(0, 40), (20, None)]) == [(10, None, "stopped")]
    assert found([(1, 10, "stopped")], configured=[(0, 40), (20, 30)]) == [(10, 40, "stopped")]
    assert found([(1, 10, "stopped")], configured=[(0, 40), (20, 15), (50, None)])[0] == (10, 40, "stopped")


def test_only_sessions_count() -> None:
    opens, closes, day = 2.5 * 3600, 9 * 3600, 24 * 3600
    covered = [(1, opens - 60, "killed"), (opens + 60, closes + 60, "stopped")]
    assert found(covered, name="XNYS", until=day + opens + 600) == [
        (opens, opens + 60, "killed"),
        (day + opens, None, "stopped"),
    ]
    # No gap lasts while the market is closed.
    assert found(covered, name="XNYS", until=day) == [(opens, opens + 60, "killed")]


def test_the_hours_in_which_the_provider_sends_count() -> None:
    hour, day = 3600, 24 * 3600
    begins, ends = -3 * hour, 13 * hour  # 04:00 and 20:00 in New York
    cuts = [begins + hour, begins + 4 * hour, begins + 8 * hour, begins + 14 * hour]  # 05:00, 08:00, 12:00, 18:00
    since = [begins - hour, *(cut + 60 for cut in cuts)]
    covered = [(*each, "disconnected") for each in zip(since, [*cuts, ends + 60], strict=True)]
    configured = [(begins - hour, None)]
    days: dict[str, Any] = {"name": US_HOURS, "since": begins - hour, "until": 18 * hour, "configured": configured}
    assert found(covered, **days) == [(cut, cut + 60, "disconnected") for cut in cuts]
    # A cut in the night is none; the morning goes on with it.
    night = [(begins - hour, ends + hour, "killed"), (ends + 3 * hour, None, "")]
    assert found(night, **days) == []
    assert found(night[:1], **{**days, "until": day + begins + 60}) == [(day + begins, None, "killed")]


def test_a_subscription_before_the_open_is_no_gap() -> None:
    before = -3 * 3600 - 600
    assert found([(before + 60, None, "")], name=US_HOURS, configured=[(before, None)], since=before) == []


def test_changed_hours_are_those_of_time_from_then_on() -> None:
    """A cut from 08:00 to 10:00 in New York, in which the hours become those in which the provider sends."""
    cut = [(-7200.0, 3600.0, "disconnected"), (10_800.0, None, "")]
    spans = {
        "known before": [(-7200, None, US_HOURS)],
        "never known": [(-7200, None, "XNYS")],
        "from 09:00": [(-7200, 7200, "XNYS"), (7200, None, US_HOURS)],
        "until 09:00": [(-7200, 7200, US_HOURS), (7200, None, "XNYS")],
    }
    gaps_of = {
        name: [
            (round(gap.begin / 1e6 - BEGIN.timestamp()), round(gap.end / 1e6 - BEGIN.timestamp()), gap.cause)
            for gap in gaps.compute(
                [Span(us(begin), us(end), by) for begin, end, by in cut],
                [ConfiguredSpan(us(begin), us(end), calendar(hours), None) for begin, end, hours in those],
                since=us(-7200),
                until=us(11_000),
                ended_by=None,
            )
        ]
        for name, those in spans.items()
    }
    assert gaps_of == {
        "known before": [(3600, 10_800, "disconnected")],
        "never known": [(9000, 10_800, "disconnected")],
        "from 09:00": [(7200, 10_800, "disconnected")],
        "until 09:00": [(3600, 7200, "disconnected"), (9000, 10_800, "disconnected")],
    }


@pytest.fixture
def lease(take_lease: TakeLease) -> Any:
    return take_lease("first")


def configure(database: Database, *symbols: str, seconds: float = 0, name: str = "always") -> None:
    with database.transaction() as cursor:
        moment = int(at(seconds).timestamp() * 1e9)
        coverage.record_symbols(cursor, "test", ConfiguredSymbols(moment, dict.fromkeys(symbols, name)), epoch=1)


def cover(database: Database, *intervals: tuple[str, float, float | None, str | None], epoch: int = 1) -> None:
    """Store coverage as the loader does."""
    with database.transaction() as cursor:
        execute_values(
            cursor,
            "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, ends_at, ended_by, epoch, connection) "
            "VALUES %s ON CONFLICT (feed, symbol, begins_at, epoch, connection) DO UPDATE "
            "SET ends_at = excluded.ends_at, ended_by = excluded.ended_by, computed = false",
            [
                ("test", symbol, at(begin), None if end is None else at(end), by, epoch, 1)
                for symbol, begin, end, by in intervals
            ],
        )


def update(database: Database, seconds: float) -> Updated:
    with database.transaction() as cursor:
        return gaps.update(cursor, "test", now=at(seconds))


def stored(database: Database, columns: str = "cause, state") -> list[tuple[Any, ...]]:
    """Symbol, begin and end in seconds after BEGIN, and these columns, of each gap."""
    return [
        (symbol, (begin - BEGIN).total_seconds(), None if end is None else (end - BEGIN).total_seconds(), *rest)
        for symbol, begin, end, *rest in rows(
            database,
            f"SELECT symbol, begins_at, ends_at, {columns} FROM ticks_platform.feed_gap ORDER BY begins_at, symbol",
        )
    ]


def test_the_table_follows_the_coverage(database: Database, lease: Any) -> None:
    configure(database, "A", "B")
    cover(database, ("A", 1, None, None), ("B", 1, None, None))
    assert update(database, 5) == Updated(2, 0, 0, 0)
    assert update(database, 6).symbols == 0, "nothing has changed"
    cover(database, ("A", 1, 10, "disconnected"))
    assert update(database, 12) == Updated(1, 1, 0, 0)
    assert stored(database) == [("A", 10, None, "disconnected", "open")]
    assert update(database, 13) == Updated(1, 0, 0, 0), "it lasts"
    cover(database, ("A", 15, None, None))
    assert update(database, 16) == Updated(1, 0, 1, 0)
    assert stored(database) == [("A", 10, 15, "disconnected", "open")]
    cover(database, ("A", 15, 50, "silent"), ("A", 52, None, None))
    assert update(database, 60) == Updated(1, 1, 0, 0)
    assert stored(database)[1:] == [("A", 50, 52, "silent", "open")]


@pytest.mark.parametrize("by", ["killed", "stopped"])
def test_coverage_that_an_earlier_owner_began_in_the_future_is_none(
    database: Database, take_lease: TakeLease, by: str
) -> None:
    """Its clock was ahead, and it ended before anybody learned by how much."""
    now = (datetime.now(timezone.utc) - BEGIN).total_seconds()
    take_lease("first")
    configure(database, "A", seconds=now - 100)
    cover(database, ("A", now - 99, now - 50, "disconnected"), ("A", now + 1200, now + 1201, by))
    take_lease("second")
    update(database, now)
    ((_, begin, end, cause),) = stored(database, "cause")
    assert (begin, end, cause) == (pytest.approx(now - 50), None, "disconnected")
    later = "SELECT count(*) FROM ticks_platform.feed_coverage WHERE ends_at > begins_at AND begins_at > now()"
    assert rows(database, later) == [(0,)]


def test_a_closed_gap_is_kept(database: Database, lease: Any) -> None:
    configure(database, "A")
    cover(database, ("A", 1, 10, "killed"), ("A", 20, 30, "disconnected"), ("A", 40, None, None))
    update(database, 50)
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_gap SET state = 'repaired', rows_repaired = 7 WHERE cause = 'killed'"
        )
    # More of the killed owner's journal was loaded: the smaller gap is repaired too.
    cover(database, ("A", 1, 15, "killed"))
    update(database, 60)
    assert stored(database, "state, rows_repaired") == [("A", 10, 20, "repaired", 7), ("A", 30, 40, "open", 0)]
    # Coverage turns out to be shorter: only the new part is open.
    cover(database, ("A", 1, 5, "killed"))
    update(database, 70)
    assert stored(database, "state, rows_repaired")[:2] == [("A", 5, 10, "open", 0), ("A", 10, 20, "repaired", 7)]


def test_a_gap_becomes_shorter_when_more_is_loaded(database: Database, lease: Any) -> None:
    configure(database, "A")
    cover(database, ("A", 1, 10, "killed"), ("A", 20, None, None))
    update(database, 50)
    before = stored(database, "gap_id")
    cover(database, ("A", 1, 15, "killed"))
    update(database, 60)
    assert stored(database, "gap_id") == [("A", 15, 20, before[0][3])]
    cover(database, ("A", 1, 20, "killed"))
    assert update(database, 60).removed == 1
    assert stored(database) == []


def test_a_first_connection_without_data_is_remembered(database: Database, lease: Any) -> None:
    configure(database, "A")
    cover(database, ("A", 1, 1, "disconnected"))
    update(database, 2)
    cover(database, ("A", 3, 3, "disconnected"))
    update(database, 4)
    cover(database, ("A", 5, None, None))
    update(database, 6)
    assert stored(database) == [("A", 1, 5, "disconnected", "open")]
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_coverage") == [(2,)]


@pytest.mark.parametrize("by", ["disconnected", "killed"])
def test_one_gap_while_the_provider_flaps(database: Database, lease: Any, by: str) -> None:
    configure(database, "A")
    cover(database, ("A", 1, 10, "stalled"))
    for begin in (20, 30, 40):
        cover(database, ("A", begin, None, None))
        update(database, begin + 1)
        assert stored(database) == [("A", 10, begin, "stalled", "open")]
        cover(database, ("A", begin, begin, by))
        update(database, begin + 3)
        assert stored(database) == [("A", 10, None, "stalled", "open")]
    cover(database, ("A", 50, None, None))
    update(database, 60)
    assert stored(database) == [("A", 10, 50, "stalled", "open")]


def test_gaps_of_a_disabled_feed_are_ignored(database: Database, lease: Any) -> None:
    configure(database, "A")
    cover(database, ("A", 1, 10, "switched_off"))
    update(database, 50)
    assert stored(database) == [("A", 10, None, "switched_off", "ignored")]
    cover(database, ("A", 90, None, None), epoch=2)
    update(database, 100)
    assert stored(database) == [("A", 10, 90, "switched_off", "ignored")]


def test_removing_a_symbol_ends_its_gap(database: Database, lease: Any) -> None:
    configure(database, "A", "B")
    cover(database, ("A", 1, 10, "disconnected"), ("B", 1, None, None))
    update(database, 50)
    configure(database, "B", seconds=60)
    update(database, 70)
    assert stored(database) == [("A", 10, 60, "disconnected", "open")]


def test_days_without_an_owner_are_computed_by_session(database: Database, lease: Any) -> None:
    opens, closes, day = 2.5 * 3600, 9 * 3600, 24 * 3600
    configure(database, "A", name="XNYS")
    cover(database, ("A", 1, opens + 60, "stopped"))
    update(database, opens + 600)
    assert stored(database) == [("A", opens + 60, None, "stopped", "open")]
    update(database, closes + 600)
    update(database, day + opens + 600)
    update(database, day + opens + 700)
    first, second = stored(database)
    assert first == ("A", opens + 60, closes, "stopped", "open")
    assert second == ("A", day + opens, None, "stopped", "open")
    cover(database, ("A", day + opens + 800, None, None), epoch=2)
    update(database, day + closes)
    assert stored(database)[1] == ("A", day + opens, day + opens + 800, "stopped", "open")


def test_the_coverage_of_a_dead_owner_ends(database: Database, lease: Any) -> None:
    configure(database, "A")
    cover(database, ("A", 1, None, None))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_ledger VALUES ('test', 1, 1, %s, %s, 1, 1, 1, 0, 0, 0, 0, %s)",
            (at(2), at(30), at(29)),
        )
    assert update(database, 40).found == 0
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at - INTERVAL '1 minute'")
    update(database, 90)
    assert stored(database) == [("A", 28.75, None, "killed", "open")]
    # It had only lost its database connection.
    with database.transaction() as cursor:
        killed_coverage.reopen(cursor, lease)
        cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = clock_timestamp()")
    update(database, 100)
    assert stored(database) == []


def forget(database: Database, seconds: float) -> list[tuple[str, int, int]]:
    """Delete coverage that is old by then; returns symbol, number of intervals and first begin of the rest."""
    with database.transaction() as cursor:
        gaps.forget_old(cursor, "test", now=at(seconds) + gaps.COVERAGE_KEPT)
    return [
        (symbol, count, round((begin - BEGIN).total_seconds()))
        for symbol, count, begin in rows(
            database,
            "SELECT symbol, count(*), min(begins_at) FROM ticks_platform.feed_coverage GROUP BY symbol ORDER BY symbol",
        )
    ]


def test_old_coverage_is_deleted_and_no_gap_changes(database: Database, lease: Any) -> None:
    """Not even by later changes, of the oldest coverage that is kept, or of deleted coverage."""
    configure(database, "A", "B", "C")
    flapping = [(name, begin, begin + 10.0, "killed") for name in "AC" for begin in range(1, 301, 15)]
    cover(database, *flapping, ("A", 301, None, None), ("B", 1, None, None))
    cover(database, ("C", 100, 295, "stopped"), epoch=2)
    assert forget(database, 400)[0] == ("A", 21, 1), "its gaps are not computed yet"
    update(database, 310)
    before = stored(database, "gap_id, cause")
    assert len([gap for gap in before if gap[0] == "A"]) == 20
    # One interval of C overlaps the later ones, and ends after them.
    assert forget(database, 150) == [("A", 11, 151), ("B", 1, 1), ("C", 14, 100)]
    assert forget(database, 400) == [("A", 10, 166), ("B", 1, 1), ("C", 10, 151)]
    assert forget(database, 400) == [("A", 10, 166), ("B", 1, 1), ("C", 10, 151)]
    update(database, 320)
    assert stored(database, "gap_id, cause") == before
    cover(database, ("A", 166, 178, "killed"), ("A", 301, 305, "stalled"), ("A", 310, None, None))
    update(database, 330)
    after = stored(database, "gap_id, cause")
    changed = {gap[1]: gap for gap in after if gap not in before}
    assert {begin: gap[2] for begin, gap in changed.items()} == {178: 181, 305: 310}
    assert [gap for gap in before if gap not in after] == [next(gap for gap in before if gap[:2] == ("A", 176))]
    # An owner on another machine had received too; its late coverage neither shortens a gap nor makes one.
    cover(database, ("A", 20, 40, "killed"), epoch=3)
    update(database, 340)
    cover(database, ("A", 166, 179, "killed"))
    update(database, 350)
    assert [gap[:3] for gap in stored(database) if gap[0] == "A" and gap[1] < 176] == [
        gap[:3] for gap in before if gap[0] == "A" and gap[1] < 176
    ]


def test_a_change_of_hours_concerns_time_from_then_on(database: Database, lease: Any) -> None:
    """As after an upgrade: what a release judged by regular hours stays judged by them."""
    day = 24 * 3600
    opens, closes, four = 2.5 * 3600, 9 * 3600, -3 * 3600
    configure(database, "A", "B", seconds=four, name="XNYS")
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_symbol SET refusal = 'not in your plan' WHERE symbol = 'B'")
    cover(database, ("A", four + 1, four + 3600, "disconnected"), ("A", opens - 60, opens + 60, "killed"))
    cover(database, ("A", opens + 120, closes + 600, "disconnected"))
    update(database, closes + 900)
    before = stored(database)
    assert [gap[:3] for gap in before if gap[0] == "A"] == [("A", opens + 60, opens + 120)]
    for _ in range(2):
        configure(database, "A", "B", seconds=closes + 1200, name=US_HOURS)
        cover(database, ("A", closes + 1800, closes + 2000, "killed"), ("A", closes + 2100, None, None))
        update(database, closes + 2400)
        assert [gap[:4] for gap in stored(database) if gap[0] == "A"] == [
            ("A", opens + 60, opens + 120, "killed"),
            ("A", closes + 1200, closes + 1800, "disconnected"),
            ("A", closes + 2000, closes + 2100, "killed"),
        ]
    assert [gap[3] for gap in stored(database) if gap[0] == "B"] == ["refused", "refused"]
    # What is recorded twice for one moment, or back in time by a clock that was set, is replaced.
    configure(database, "A", "B", seconds=closes + 1200, name="always")
    configure(database, "A", "B", seconds=closes, name="always")
    assert rows(
        database,
        "SELECT symbol, calendar, wanted_until IS NULL, refusal FROM ticks_platform.feed_symbol "
        "ORDER BY symbol, wanted_from",
    ) == [
        ("A", "XNYS", False, None),
        ("A", "always", True, None),
        ("B", "XNYS", False, "not in your plan"),
        ("B", "always", True, "not in your plan"),
    ]
    configure(database, "A", seconds=day)
    assert rows(database, "SELECT count(*) FROM ticks_platform.feed_symbol WHERE wanted_until IS NULL") == [(1,)]


def test_why_there_is_no_candle_in_the_morning(database: Database, lease: Any) -> None:
    """A cut at 08:00 in New York: the market is not open, and the provider sends."""
    eight, night = 3600.0, -3 * 3600.0
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
        cursor.executemany(
            "INSERT INTO ticks_platform.market_session VALUES (%s, %s, %s, %s)",
            [("XNYS", at(9000), at(9 * 3600), BEGIN.date()), (US_HOURS, at(night), at(13 * 3600), BEGIN.date())],
        )
    configure(database, "A", seconds=night - 3600, name=US_HOURS)
    cover(database, ("A", night - 3599, eight, "disconnected"), ("A", eight + 90, None, None))
    update(database, 9000)
    asked = {-60: "market_closed", 0: "no_trade", 3 * 3600: "no_trade", 4 * 3600: "feed_gap", 4 * 3600 + 60: "feed_gap"}
    with database.transaction() as cursor:
        for second, reason in {**asked, 4 * 3600 + 120: "no_trade", 16 * 3600: "market_closed"}.items():
            cursor.execute("SELECT ticks_platform.why_no_candle('A', %s)", (at(night + second),))
            assert cursor.fetchone() == (reason,), second


def test_why_there_is_no_candle(database: Database, lease: Any) -> None:
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
        cursor.execute(
            "INSERT INTO ticks_platform.market_session VALUES ('XNYS', %s, %s, %s)",
            (at(2.5 * 3600), at(9 * 3600), BEGIN.date()),
        )
        for second, updates in ((9000, None), (9001, 4), (9061, 7), (9125, 4), (9241, 6), (9361, 15)):
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at, updates) "
                "VALUES (%s, 'A', 1, gen_random_uuid(), 'test', %s, %s)",
                (at(second), at(second), updates),
            )
    configure(database, "A", seconds=8880, name="XNYS")
    cover(database, ("A", 8881, 9150, "disconnected"), ("A", 9190, 9300, "killed"), ("A", 9310, None, None))
    update(database, 9500)
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_gap SET state = 'repaired' WHERE cause = 'killed'")
        cursor.execute("SELECT bucket, reason FROM ticks_platform.candle_reasons('A', %s, %s)", (at(8820), at(9420)))
        assert [((bucket - BEGIN).total_seconds(), reason) for bucket, reason in cursor.fetchall()] == [
            (8820, "not_wanted"),
            (8880, "market_closed"),
            (8940, "market_closed"),
            (9000, "candle"),
            (9060, "candle"),
            (9120, "feed_gap"),
            (9180, "feed_gap"),
            (9240, "no_price"),
            (9300, "no_trade"),
            (9360, "no_price"),
        ]
        asked = [
            ("A", at(9130), "1 minute", "feed_gap"),
            ("A", at(9500), "1 hour", "candle"),
            ("A", at(33_000), "1 minute", "market_closed"),
            ("B", at(9130), "1 minute", "not_wanted"),
            ("A", datetime.now(timezone.utc), "1 day", "not_over"),
        ]
        for symbol, moment, width, reason in asked:
            cursor.execute("SELECT ticks_platform.why_no_candle(%s, %s, %s)", (symbol, moment, width))
            assert cursor.fetchone() == (reason,), (symbol, moment, width)
        # A secondary feed makes no candles.
        cursor.execute("UPDATE ticks_platform.feed SET candles = false")
        for moment, reason in ((at(9300), "not_wanted"), (at(9360), "no_price")):
            cursor.execute("SELECT ticks_platform.why_no_candle('A', %s)", (moment,))
            assert cursor.fetchone() == (reason,)


def test_the_providers_reason_is_recorded(database: Database, lease: Any) -> None:
    configure(database, "A")
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_symbol SET refusal = 'not in your plan'")
    update(database, 20)
    assert stored(database, "cause, detail") == [("A", 0, None, "refused", "not in your plan")]


def test_sql_presumes_an_owner_dead_after_the_same_time() -> None:
    assert f"INTERVAL '{DEAD_AFTER:.0f} seconds'" in sql_files.read("schema/candle_reasons.sql")


def _first_start(database: Database, take_lease: TakeLease, symbols: int) -> dict[str, float]:
    """Compute the gaps of so many symbols in tables without statistics; seconds by query."""
    with database.transaction() as cursor:
        for table in ("feed_symbol", "feed_coverage", "feed_gap"):
            cursor.execute(f"TRUNCATE ticks_platform.{table} CASCADE")
            cursor.execute("SET LOCAL statement_timeout = '60s'")
    lease = take_lease("run")
    took: dict[str, float] = {}
    names = [f"S{number}" for number in range(symbols)]
    with database.transaction() as cursor:
        arguments = {"feed": lease.feed, "names": names, "at": at(0), "half": names[::2], "streaming": at(20)}
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, calendar, wanted_from, epoch, by_server) "
            "SELECT %(feed)s, name, 'always', %(at)s, 1, %(at)s FROM unnest(%(names)s) AS name",
            arguments,
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_coverage (feed, symbol, begins_at, epoch, connection) "
            "SELECT %(feed)s, name, %(streaming)s, 1, 1 FROM unnest(%(half)s) AS name",
            arguments,
        )
    with database.transaction() as cursor:
        began = time.perf_counter()
        updated = gaps.update(cursor, lease.feed, now=at(60))
        took["first"] = time.perf_counter() - began
        assert (updated.symbols, updated.found) == (symbols, symbols)
    with database.transaction() as cursor:
        began = time.perf_counter()
        assert gaps.update(cursor, lease.feed, now=at(70)).symbols == symbols // 2
        took["later"] = time.perf_counter() - began
    return took


@pytest.mark.full
def test_gaps_of_many_symbols_on_first_start_cost_no_more_a_symbol(database: Database, take_lease: TakeLease) -> None:
    few, many = _first_start(database, take_lease, 1_500), _first_start(database, take_lease, 12_000)
    for name in few:
        assert many[name] < 2.5 * 8 * few[name] + 1, (few, many)
