"""The sessions of markets in the database, for queries that join candles with trading days."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

MARGIN = timedelta(days=7)
"""How long before the first tick the sessions begin."""
AHEAD = timedelta(days=366)
"""How far into the future they go: calendars are known for about a year."""


class Session(NamedTuple):
    """A time in which an exchange is open, and the trading day that it belongs to."""

    opens_at: datetime
    closes_at: datetime
    session: date
    day_begins_at: datetime
    """The whole trading day, extended hours included."""
    day_ends_at: datetime


class SymbolCalendars(NamedTuple):
    """The names of a symbol's calendars."""

    market: str
    """When its market is open."""
    hours: str
    """When the provider sends."""


class Kept(NamedTuple):
    """How many rows there are, and how many were written or deleted."""

    sessions: int
    symbols: int
    changed: int


def horizon(cursor: Cursor) -> tuple[datetime, datetime]:
    """From some days before the oldest chunk of ticks, or before now, to a year ahead."""
    cursor.execute(sql_files.read("queries/calendar/horizon.sql"), {"margin": MARGIN, "ahead": AHEAD})
    row = cursor.fetchone()
    assert row is not None
    return row


def without_sessions(cursor: Cursor, calendars: Collection[str]) -> list[str]:
    """Which of these calendars have no session ahead in the database, though they have some."""
    cursor.execute("SELECT to_regclass('ticks_platform.market_session') IS NOT NULL")
    if cursor.fetchone() != (True,):
        return []
    cursor.execute(sql_files.read("queries/calendar/without_sessions.sql"), {"names": sorted(set(calendars))})
    return [name for (name,) in cursor.fetchall()]


def add(cursor: Cursor, calendar: str, sessions: Sequence[Session]) -> None:
    """Store sessions of a calendar; others stay."""
    _write(cursor, sql_files.read("queries/calendar/upsert_sessions.sql"), [(calendar, *each) for each in sessions])


def keep(
    cursor: Cursor,
    sessions: Mapping[str, Sequence[Session]],
    symbols: Mapping[tuple[str, str], SymbolCalendars],
    *,
    begin: datetime,
    end: datetime,
) -> Kept:
    """Store the sessions of these calendars that open from `begin` to `end`, and the names of the calendars of these
    symbols (feed, symbol).

    Sessions at other times, other calendars and other symbols stay; only a symbol that has left its feed is deleted, as
    soon as another feed has it. Rows that are right are not written.
    """
    changed = _keep_sessions(cursor, sessions, begin, end) + _keep_symbols(cursor, symbols)
    cursor.execute(sql_files.read("queries/calendar/counts.sql"))
    sessions_kept, symbols_kept = cursor.fetchone() or (0, 0)
    return Kept(sessions_kept, symbols_kept, changed)


def _keep_sessions(cursor: Cursor, sessions: Mapping[str, Sequence[Session]], begin: datetime, end: datetime) -> int:
    wanted = [(name, *session) for name, found in sessions.items() for session in found]
    cursor.execute(
        sql_files.read("queries/calendar/delete_sessions.sql"),
        {
            "calendars": list(sessions),
            "begin": begin,
            "end": end,
            "names": [row[0] for row in wanted],
            "openings": [row[1] for row in wanted],
        },
    )
    return int(cursor.rowcount) + _write(cursor, sql_files.read("queries/calendar/upsert_sessions.sql"), wanted)


def _keep_symbols(cursor: Cursor, symbols: Mapping[tuple[str, str], SymbolCalendars]) -> int:
    wanted = [(*key, *calendars) for key, calendars in symbols.items()]
    parameters = {"feeds": [row[0] for row in wanted], "symbols": [row[1] for row in wanted]}
    cursor.execute(sql_files.read("queries/calendar/delete_symbols.sql"), parameters)
    return int(cursor.rowcount) + _write(cursor, sql_files.read("queries/calendar/upsert_symbols.sql"), wanted)


def _write(cursor: Cursor, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    return len(execute_values(cursor, statement, rows, page_size=1000, fetch=True)) if rows else 0
