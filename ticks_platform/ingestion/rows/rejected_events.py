"""Rejected events: the rows of rejected_event, each with its reason and the bytes that can be loaded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from psycopg2.extras import execute_values

from ticks_platform import masking
from ticks_platform.escaping import printable
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


LARGE = 4096
"""Bytes of a frame above which it is stored once, with its first rejected event, and not with each of them."""


class RejectedEvent(NamedTuple):
    """A row of rejected_event."""

    position: int
    received_at: int
    reason: str
    raw: bytes
    """Empty in the table if it is a large frame that an earlier event of it has, at `position` minus `place`."""
    place: int | None = None
    """Its place within `raw`, if that is a frame; None if all of `raw` was rejected."""


def with_frames(
    rejected: Sequence[RejectedEvent],
    frames: Sequence[bytes],
    starts: npt.NDArray[np.int64],
    events_per_frame: npt.NDArray[np.int64],
) -> list[RejectedEvent]:
    """Rejected events, each with bytes that it can be loaded from: its own, or its frame's with its place.

    `starts` are the frames' positions.
    """
    found: list[RejectedEvent] = []
    for event in rejected:
        frame = int(np.searchsorted(starts, event.position, side="right")) - 1
        if not event.raw or event.raw is frames[frame]:
            place = None if events_per_frame[frame] == 1 else event.position - int(starts[frame])
            event = event._replace(raw=frames[frame], place=place)
        found.append(event)
    return found


def add(
    cursor: Cursor,
    feed: str,
    journal_number: int,
    rejected: Sequence[RejectedEvent],
    connections: Sequence[tuple[int, int]],
) -> None:
    """Keep rejected events, without the secrets that a provider may repeat in them.

    `connections` are the epoch and the connection of each.
    """
    if rejected:
        secrets = masking.current()
        order = sorted(range(len(rejected)), key=lambda number: rejected[number].position)
        stored = _frames_once([rejected[number] for number in order])
        execute_values(
            cursor,
            sql_files.read("queries/ledger/record_rejected_events.sql"),
            [
                (
                    feed,
                    journal_number,
                    event.position,
                    from_nanoseconds(event.received_at),
                    storable(printable(secrets.text(event.reason))),
                    # A provider that repeats the key does so in no event that could be loaded again.
                    secrets.bytes(event.raw),
                    event.place,
                    *connection,
                )
                for event, connection in zip(stored, (connections[number] for number in order), strict=True)
            ],
        )


def _frames_once(rejected: Sequence[RejectedEvent]) -> Iterator[RejectedEvent]:
    """Rejected events, in order of position, in which the first of a large frame has its bytes, and no other has."""
    last = None
    for event in rejected:
        if event.place is None or len(event.raw) <= LARGE:
            yield event
            continue
        frame = event.position - event.place
        yield event if frame != last else event._replace(raw=b"")
        last = frame
