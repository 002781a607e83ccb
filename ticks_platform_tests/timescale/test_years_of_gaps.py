"""A feed that has lost its connection for years: what is asked every few seconds or minutes reads what is new."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from psycopg2 import sql

from ticks_platform.ingestion import status
from ticks_platform.timescale import gap_reports, quality, sql_files
from ticks_platform.timescale.candles import reports
from ticks_platform.timescale.candles.candles import ONE_MINUTE
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

pytestmark = pytest.mark.full

FEEDS = ["f0", "f1", "f2", "f3"]
SYMBOLS = [f"S{number}" for number in range(50)]
GAPS = 200_000
MOST = 10_000
"""Rows of gaps, repairs, coverage and states that one of them may read."""

EXPLAINED = (1, 100, 364)
"""Days ago, of the candles that are explained."""
MOST_EXPLAINED = 1_000
"""The same of one candle: for each feed, 32 gaps, twice, and 32 rows of coverage."""

FILL = """
    INSERT INTO ticks_platform.feed (feed, provider, synthetic)
    SELECT unnest(%(feeds)s::text[]), 'twelve_data', true;
    INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar)
    SELECT feed, symbol, now() - INTERVAL '366 days', 'always'
    FROM unnest(%(feeds)s::text[]) AS feed, unnest(%(symbols)s::text[]) AS symbol;
    INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state)
    SELECT
        feed, symbol, at, at + INTERVAL '2 seconds', 'disconnected',
        CASE WHEN number <= 2 THEN 'open' WHEN number %% 3 = 0 THEN 'unrepairable' ELSE 'repaired' END
    FROM generate_series(1, %(each)s) AS number
    CROSS JOIN unnest(%(feeds)s::text[]) AS feed
    CROSS JOIN unnest(%(symbols)s::text[]) AS symbol
    CROSS JOIN LATERAL (SELECT now() - INTERVAL '365 days' / %(each)s * number) AS begun (at);
    INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state)
    SELECT feed, symbol, 'trades', begins_at, ends_at, 'done' FROM ticks_platform.feed_gap WHERE state = 'repaired';
    INSERT INTO ticks_platform.feed_coverage (feed, epoch, connection, computed, symbol, begins_at, ends_at, ended_by)
    SELECT
        feed, 1, 0, true, symbol, ends_at,
        lead(begins_at, 1, now()) OVER (PARTITION BY feed, symbol ORDER BY begins_at), 'disconnected'
    FROM ticks_platform.feed_gap;
    INSERT INTO ticks_platform.feed_session (feed, epoch, connection, at, state, detail)
    SELECT feed, 1, 0, now() - INTERVAL '365 days' / %(each)s * number, 'connecting', ''
    FROM generate_series(1, %(each)s) AS number, unnest(%(feeds)s::text[]) AS feed;
"""
READ = """
    SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_xact_user_tables
    WHERE schemaname = 'ticks_platform' AND relname IN ('feed_gap', 'feed_repair', 'feed_coverage', 'feed_session')
"""


@pytest.fixture
def years(database: Database) -> Database:
    """Some 200,000 gaps of a year, and what was repaired."""
    arguments = {"feeds": FEEDS, "symbols": SYMBOLS, "each": GAPS // len(FEEDS) // len(SYMBOLS)}
    with database.transaction() as cursor:
        for statement in FILL.split(";\n"):
            if statement.strip():
                cursor.execute(statement, arguments)
    with database.autocommit() as cursor:
        cursor.execute("ANALYZE")
    return database


def test_what_is_asked_often_reads_what_is_new(years: Database) -> None:
    now = datetime.now(timezone.utc)
    day = now - timedelta(days=1)
    sessions = [
        quality.Session(symbol, judged, begin, end)
        for symbol in SYMBOLS
        for judged, begin, end in ((False, day, now - timedelta(hours=1)), (True, now - timedelta(hours=1), now))
    ]

    def live(name: str) -> Callable[[Cursor], object]:
        def ask(cursor: Cursor) -> object:
            values: dict[str, Any] = {
                "feeds": sql.Literal(FEEDS),
                "symbols": sql.Literal(SYMBOLS[:1]),
                "limit": sql.Literal(400),
                "since": sql.Literal(day.timestamp()),
                "until": sql.Literal(now.timestamp()),
            }
            cursor.execute(sql_files.compose(f"queries/live/{name}.sql", **values))
            return cursor.fetchall()

        return ask

    def file(name: str, **arguments: Any) -> Callable[[Cursor], object]:
        def ask(cursor: Cursor) -> object:
            cursor.execute(sql_files.read(f"queries/{name}.sql"), arguments)
            return cursor.fetchall()

        return ask

    def explain(at: datetime) -> Callable[[Cursor], object]:
        return lambda cursor: cursor.execute("SELECT explain_candle('S1', %s)", (at,))

    asked: dict[str, Callable[[Cursor], object]] = {
        "feed_gaps, newest": lambda cursor: gap_reports.newest(cursor, FEEDS, now=now, limit=20),
        "feed_gaps, totals": lambda cursor: gap_reports.totals(cursor, FEEDS, now=now, since=now - timedelta(days=7)),
        "feed_gaps, timeline": lambda cursor: gap_reports.timeline(cursor, "f1", begin=day, end=now, symbols=20),
        "status": lambda cursor: status.feeds(cursor, FEEDS),
        "live page, open gaps": live("open_gaps"),
        "live page, rejected": live("rejected"),
        "live page, gaps": live("gaps"),
        "session_is_complete": lambda cursor: quality.completeness(cursor, set(FEEDS), sessions),
        "report of ticks": lambda cursor: reports.feeds(cursor, FEEDS),
        "report of minutes": lambda cursor: reports.candles(cursor, ONE_MINUTE, preferred=SYMBOLS, limit=8),
        "repair, open gaps": file("repair/open_gaps", feed="f1"),
        "repair, totals": file("repair/totals", feed="f1"),
        "repair, known": file("repair/known_ranges", feed="f1", kind="trades", symbols=SYMBOLS[:5], begin=day, end=now),
        "repair, ended": file("repair/fetched_and_failed_ranges", feed="f1", kind="trades"),
        "repair, days": file("repair/days_to_refresh", feed="f1"),
        **{f"explain, {days} days ago": explain(now - timedelta(days=days)) for days in EXPLAINED},
        "gaps, compute": file("gaps/symbols_to_compute", feed="f1", symbols=SYMBOLS, begins=[now] * len(SYMBOLS)),
        "gaps, inputs": file("gaps/inputs", feed="f1", symbols=SYMBOLS, since=[day] * len(SYMBOLS)),
    }
    slow, rows = {}, {}
    for name, ask in asked.items():
        with years.transaction() as cursor:
            ask(cursor)
        with years.transaction() as cursor:
            cursor.execute(READ)
            (before,) = cursor.fetchone() or (0,)
            began = time.perf_counter()
            ask(cursor)
            seconds = time.perf_counter() - began
            cursor.execute(READ)
            (after,) = cursor.fetchone() or (0,)
        print(f"{name:24} {seconds * 1000:8.1f} ms {after - before:9} rows")
        rows[name] = after - before
        if after - before > MOST:
            slow[name] = after - before
    assert max(rows[f"explain, {days} days ago"] for days in EXPLAINED) < MOST_EXPLAINED, "it grows with history"
    assert slow == {}, "rows that were read; the tables have some 800,000"
