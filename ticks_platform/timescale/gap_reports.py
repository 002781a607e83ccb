"""Reports of the gaps: the newest, the totals by state, and a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class GapRow(NamedTuple):
    """A gap; `ends_at` is None while it lasts, and `seconds` then counts up to now."""

    feed: str
    symbol: str
    begins_at: datetime
    ends_at: datetime | None
    seconds: float
    cause: str
    state: str
    rows_repaired: int
    detail: str


class Total(NamedTuple):
    """The gaps of one state."""

    gaps: int
    going_on: int
    seconds: float
    """Summed over symbols."""
    rows_repaired: int


class Lane(NamedTuple):
    """A symbol and its gaps within some time: begin, end, cause and state of each."""

    symbol: str
    calendars: list[tuple[datetime, str]]
    """The calendars of its sending hours, with since when each was valid."""
    gaps: list[tuple[datetime, datetime, str, str]]


def newest(
    cursor: Cursor, feeds: Sequence[str], *, now: datetime, limit: int, states: Sequence[str] | None = None
) -> list[GapRow]:
    """The newest gaps of these feeds, of all states or of some."""
    arguments = {"feeds": list(feeds), "now": now, "limit": limit, "states": None if states is None else list(states)}
    cursor.execute(sql_files.read("queries/gaps/newest.sql"), arguments)
    return [GapRow(*row) for row in cursor.fetchall()]


def totals(cursor: Cursor, feeds: Sequence[str], *, now: datetime, since: datetime | None = None) -> dict[str, Total]:
    """The gaps of these feeds by state: all that are open, and the others that began since then; a state without is
    left out.

    Without `since` the open ones are counted alone.
    """
    arguments = {"feeds": list(feeds), "now": now, "since": since}
    cursor.execute(sql_files.read("queries/gaps/totals_by_state.sql"), arguments)
    return {state: Total(*rest) for state, *rest in cursor.fetchall()}


def timeline(cursor: Cursor, feed: str, *, begin: datetime, end: datetime, symbols: int) -> tuple[list[Lane], int]:
    """The symbols of a feed with the longest gaps within a time, and how many symbols the feed has."""
    parameters = {"feed": feed, "begin": begin, "end": end, "limit": symbols}
    cursor.execute(sql_files.read("queries/gaps/timeline.sql"), parameters)
    found = cursor.fetchall()
    lanes = [
        Lane(symbol, list(zip(since, calendars, strict=True)), list(zip(*gaps, strict=True)))
        for symbol, calendars, since, *gaps, _ in found
    ]
    return lanes, found[0][7] if found else 0
