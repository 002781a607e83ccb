"""The sessions of calendars as rows of the database, for queries that join them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ticks_platform.feeds.calendars import Calendar, calendar
from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.market_calendar import Session

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def sessions_of(calendar: Calendar, begin: datetime, end: datetime) -> list[Session]:
    """The sessions that open in an interval."""
    return [
        Session(
            datetime.fromtimestamp(opening.opens, timezone.utc),
            datetime.fromtimestamp(opening.closes, timezone.utc),
            opening.session,
            datetime.fromtimestamp(opening.day_begins, timezone.utc),
            datetime.fromtimestamp(opening.day_ends, timezone.utc),
        )
        for opening in calendar.openings(begin.timestamp(), end.timestamp())
    ]


def add_missing(cursor: Cursor, names: Collection[str]) -> None:
    """Store the sessions of these calendars, if some have none.

    The asset `market_calendar` keeps them, once a day. Until it knows the hours of changed settings, every minute of
    their symbols would count as one in which nobody sends.
    """
    missing = market_calendar.without_sessions(cursor, names)
    if missing:
        begin, end = market_calendar.horizon(cursor)
        for name in missing:
            market_calendar.add(cursor, name, sessions_of(calendar(name), begin, end))
