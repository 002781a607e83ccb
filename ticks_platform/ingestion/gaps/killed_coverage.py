"""Coverage whose owner was killed, or is taken for dead: closed by others, extended by what is in its journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.ingestion.gaps.insert_by_symbol import IN_FLIGHT_INTERVAL
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class RefusedTime(NamedTuple):
    """A time of a killed owner's connection in which every event was rejected; arrivals in nanoseconds."""

    epoch: int
    connection: int
    accepted_until: int
    """The last accepted event before it."""
    begin: int
    """The first rejected event."""
    end: int
    """The first event that was accepted again."""


class WrongBegin(NamedTuple):
    """A killed owner's connection whose clock turned out to be wrong; in nanoseconds, arrivals as corrected now."""

    epoch: int
    connection: int
    learned: int
    """What has to be added to its clock, beyond what it knew itself."""
    first: int
    """The first arrival of which that is known."""
    last: int
    """The last arrival."""


def wrong_begins(groups: Iterable[FrameGroup], *, epoch: int) -> list[WrongBegin]:
    """The connections of owners before `epoch` with frames of which a correction is known now that they did not know.

    Coverage that such an owner began may be dated by the wrong clock.
    """
    found: dict[tuple[int, int], WrongBegin] = {}
    for group in groups:
        key = (group.epoch, group.connection)
        if key in found:
            found[key] = found[key]._replace(last=group.last_arrival)
        elif group.learned and group.epoch != epoch:
            found[key] = WrongBegin(*key, group.learned, group.first_arrival, group.last_arrival)
    return list(found.values())


def close_abandoned(cursor: Cursor, feed: str, *, until_epoch: int, ended_by: str = "killed") -> int:
    """Close open coverage of owners up to this epoch, at the last data of theirs that is loaded; returns how many.

    The caller knows that they no longer receive. `extend_killed` extends it when more of their journals is loaded.
    """
    arguments = {"feed": feed, "epoch": until_epoch, "ended_by": ended_by, "in_flight": IN_FLIGHT_INTERVAL}
    cursor.execute(sql_files.read("queries/gaps/close_abandoned_coverage.sql"), arguments)
    return cursor.rowcount


def extend_killed(
    cursor: Cursor,
    feed: str,
    last_data: Iterable[tuple[int, int, datetime | None]],
    refused: Sequence[RefusedTime] = (),
    begins: Sequence[WrongBegin] = (),
) -> None:
    """Extend the coverage of killed owners by data that was loaded from their journals, but for the `refused` times.

    `last_data` has epoch, connection, and arrival of the last data, or None. First, coverage that began by a wrong
    clock is moved: without that, it would reach from the wrong begin to the right end.
    """
    for begin in begins:
        parameters = {
            "feed": feed,
            "epoch": begin.epoch,
            "connection": begin.connection,
            "learned": timedelta(microseconds=begin.learned // 1000),
            "first": from_nanoseconds(begin.first),
            "last": from_nanoseconds(begin.last),
        }
        cursor.execute(sql_files.read("queries/gaps/move_killed_begin.sql"), parameters)
    for each in refused:
        owner = (feed, each.epoch, each.connection)
        _extend(cursor, [(*owner, from_nanoseconds(each.accepted_until) - IN_FLIGHT_INTERVAL)])
        parameters = {
            "feed": feed,
            "epoch": each.epoch,
            "connection": each.connection,
            "refused_at": from_nanoseconds(each.begin),
            "accepted_at": from_nanoseconds(each.end),
        }
        cursor.execute(sql_files.read("queries/gaps/split_killed_coverage.sql"), parameters)
    _extend(
        cursor,
        [(feed, epoch, connection, at - IN_FLIGHT_INTERVAL) for epoch, connection, at in last_data if at is not None],
    )


def _extend(cursor: Cursor, ends: Sequence[tuple[str, int, int, datetime]]) -> None:
    if ends:
        execute_values(cursor, sql_files.read("queries/gaps/extend_killed_coverage.sql"), ends, page_size=1000)


def reopen(cursor: Cursor, lease: Lease) -> None:
    """Reopen this owner's coverage, which others closed because it sent no heartbeat: it has received all the while."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch}
    cursor.execute(sql_files.read("queries/gaps/reopen_coverage.sql"), parameters)
