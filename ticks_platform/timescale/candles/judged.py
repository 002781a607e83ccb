"""Hours of candles that a check has found right, and need not be read again while they are the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candle_proof
from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_HOUR = timedelta(hours=1)

Span = tuple[datetime, datetime]


class Hour(NamedTuple):
    """An hour of which all candles of a minute are proven."""

    begin: datetime
    candles: int
    """How many candles of it are judged."""
    minutes: int
    """The hash of its candles of a minute."""
    hash: int
    """That of its candles of an hour, where they are judged."""
    is_right: bool
    """Whether the check has found it right as it is."""


class Judged(NamedTuple):
    """What a check has to read, and what it knows."""

    judged_by: str
    since: datetime
    hours: Sequence[Hour]

    @property
    def known(self) -> int:
        """How many candles were found right, and are the same."""
        return sum(hour.candles for hour in self.hours if hour.is_right)

    def left(self, spans: Sequence[Span]) -> list[Span]:
        """What of these spans is to be read."""
        right = sorted(hour.begin for hour in self.hours if hour.is_right)
        found = []
        for begin, end in spans:
            for hour in right:
                if begin < hour < end:
                    found.append((begin, hour))
                if begin < hour + _HOUR and hour < end:
                    begin = hour + _HOUR
            if begin < end:
                found.append((begin, end))
        return merge(found)


def find(cursor: Cursor, judged_by: str, *, window: timedelta, levels: bool = False) -> Judged:
    """What this check has found right of the last `window`; with `levels`, of candles of an hour and their minutes."""
    cursor.execute("SELECT now() - %s", (window,))
    (since,) = cursor.fetchone() or (None,)
    assert since is not None
    table, _ = candle_proof.materialized(cursor, ONE_HOUR if levels else ONE_MINUTE)
    query = sql_files.compose("queries/candle_proof/judged.sql", table=table)
    cursor.execute(query, {"judged_by": judged_by, "since": since, "levels": levels})
    return Judged(judged_by, since, [Hour(*row) for row in cursor.fetchall()])


def note(cursor: Cursor, judged: Judged, *, wrong: Collection[datetime] = ()) -> None:
    """Note that hours were found right as they were when they were read, except these."""
    found = [
        hour for hour in judged.hours if not hour.is_right and hour.begin not in wrong and hour.begin >= judged.since
    ]
    if found:
        parameters = {
            "judged_by": judged.judged_by,
            "hours": [hour.begin for hour in found],
            "minutes": [str(hour.minutes) for hour in found],
            "hashes": [str(hour.hash) for hour in found],
        }
        cursor.execute(sql_files.read("queries/candle_proof/note_judged.sql"), parameters)


def part(table: sql.Composable, spans: Sequence[Span]) -> sql.Composable:
    """The candles of a table in these spans, as SQL."""
    within = [
        sql.SQL("bucket >= {} AND bucket < {}").format(sql.Literal(begin), sql.Literal(end)) for begin, end in spans
    ]
    condition = sql.SQL(" OR ").join(within) if within else sql.SQL("false")
    return sql.SQL("(SELECT * FROM {} WHERE {}) AS part").format(table, condition)
