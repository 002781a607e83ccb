"""When markets are open, as the database knows it for what joins candles with trading days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

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


class Kept(NamedTuple):
    """How many rows there are now, and how many had to be written or taken away for it."""

    sessions: int
    symbols: int
    changed: int


def horizon(cursor: Cursor) -> tuple[datetime, datetime]:
    """From some days before the oldest chunk of ticks, or before now, to a year ahead."""
    cursor.execute(
        """
        SELECT least(min(range_start), now()) - %s, now() + %s
        FROM timescaledb_information.chunks
        WHERE hypertable_schema = current_schema() AND hypertable_name = 'stocks_real_time'
        """,
        (MARGIN, AHEAD),
    )
    row = cursor.fetchone()
    assert row is not None
    return row


def keep(
    cursor: Cursor,
    sessions: Mapping[str, Sequence[Session]],
    symbols: Mapping[tuple[str, str], str],
    *,
    begin: datetime,
    end: datetime,
) -> Kept:
    """Make the tables say this: the sessions of these calendars that open from `begin` to `end`, and the calendars of
    these symbols, which are named with their feed.

    What opens at other times stays, and so do other calendars and symbols, but for feeds that no longer have a symbol
    which another one has now. Rows that are right are not written.
    """
    changed = _keep_sessions(cursor, sessions, begin, end) + _keep_symbols(cursor, symbols)
    cursor.execute(
        "SELECT (SELECT count(*) FROM ticks_platform.market_session), "
        "(SELECT count(*) FROM ticks_platform.symbol_calendar)"
    )
    sessions_kept, symbols_kept = cursor.fetchone() or (0, 0)
    return Kept(sessions_kept, symbols_kept, changed)


def _keep_sessions(cursor: Cursor, sessions: Mapping[str, Sequence[Session]], begin: datetime, end: datetime) -> int:
    wanted = [(name, *session) for name, found in sessions.items() for session in found]
    cursor.execute(
        """
        DELETE FROM ticks_platform.market_session
        WHERE calendar = ANY (%s) AND opens_at >= %s AND opens_at < %s
            AND (calendar, opens_at) NOT IN (SELECT * FROM unnest(%s::text[], %s::timestamptz[]))
        """,
        (list(sessions), begin, end, [row[0] for row in wanted], [row[1] for row in wanted]),
    )
    return int(cursor.rowcount) + _write(
        cursor,
        """
        INSERT INTO ticks_platform.market_session AS kept (calendar, opens_at, closes_at, session) VALUES %s
        ON CONFLICT (calendar, opens_at) DO UPDATE SET closes_at = excluded.closes_at, session = excluded.session
        WHERE (kept.closes_at, kept.session) <> (excluded.closes_at, excluded.session)
        RETURNING 1
        """,
        wanted,
    )


def _keep_symbols(cursor: Cursor, symbols: Mapping[tuple[str, str], str]) -> int:
    wanted = [(feed, symbol, calendar) for (feed, symbol), calendar in symbols.items()]
    cursor.execute(
        """
        DELETE FROM ticks_platform.symbol_calendar
        WHERE symbol = ANY (%(symbols)s)
            AND (feed, symbol) NOT IN (SELECT * FROM unnest(%(feeds)s::text[], %(symbols)s::text[]))
        """,
        {"feeds": [row[0] for row in wanted], "symbols": [row[1] for row in wanted]},
    )
    return int(cursor.rowcount) + _write(
        cursor,
        """
        INSERT INTO ticks_platform.symbol_calendar AS kept (feed, symbol, calendar) VALUES %s
        ON CONFLICT (feed, symbol) DO UPDATE SET calendar = excluded.calendar WHERE kept.calendar <> excluded.calendar
        RETURNING 1
        """,
        wanted,
    )


def _write(cursor: Cursor, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    return len(execute_values(cursor, statement, rows, page_size=1000, fetch=True)) if rows else 0
