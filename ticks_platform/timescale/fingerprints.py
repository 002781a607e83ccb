"""The fingerprints of hours, in feed_hour, follow what is changed of stored ticks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

HOUR = timedelta(hours=1)


class Change(NamedTuple):
    """Ticks of an hour that were stored before have changed."""

    hour: datetime
    by: int
    """What that adds to the hour's fingerprint."""
    time: datetime | None = None
    """That of the tick, if it is one."""


def lock(cursor: Cursor, feeds: Sequence[str], begin: datetime, end: datetime) -> None:
    """Hold the hours of these feeds, from `begin` to `end`, until the transaction ends.

    Whoever changes stored ticks does so first: nobody else changes or adds one before the fingerprints follow.
    """
    parameters = {"feeds": list(feeds), "begin": begin, "end": end}
    cursor.execute(sql_files.read("queries/ledger/lock_hours.sql"), parameters)


def change(cursor: Cursor, feed: str, changes: Sequence[Change]) -> None:
    """Add to the fingerprints of hours whose ticks were changed in the cursor's transaction."""
    if not changes:
        return
    parameters = {
        "feed": feed,
        "hours": [each.hour for each in changes],
        "changes": [str(each.by) for each in changes],
    }
    cursor.execute(sql_files.read("queries/ledger/change_fingerprints.sql"), parameters)
    touch(cursor, [each.time for each in changes if each.time is not None])


def touch(cursor: Cursor, times: Sequence[datetime]) -> None:
    """Note that ticks of these times came or changed after they may have been read, in the transaction that does it.

    Of what is noted, ten minutes are read again, and of what is not, the whole hour.
    """
    if times:
        cursor.execute(sql_files.read("queries/ledger/touch_slices.sql"), {"times": list(times)})


@contextlib.contextmanager
def followed(
    cursor: Cursor, feeds: Sequence[str], begin: datetime, end: datetime, symbols: Sequence[str]
) -> Iterator[None]:
    """Ticks of these feeds and symbols, of whole hours, are changed inside, in the cursor's transaction."""
    lock(cursor, feeds, begin, end)
    query = sql_files.read("queries/ledger/fingerprints.sql")
    parameters = {"feeds": list(feeds), "begin": begin, "end": end, "symbols": list(symbols)}
    cursor.execute(query, parameters)
    before = {(feed, hour): int(found) for feed, hour, found in cursor.fetchall()}
    yield
    cursor.execute(query, parameters)
    for feed, hour, found in cursor.fetchall():
        by = int(found) - before.get((feed, hour), 0)
        if by:
            change(cursor, feed, [Change(hour, by)])
