"""Rejected events: the rows of rejected_event, each with its reason and the bytes that can be loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform import masking
from ticks_platform.escaping import printable
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class RejectedEvent(NamedTuple):
    """A row of rejected_event."""

    position: int
    received_at: int
    reason: str
    raw: bytes
    place: int | None = None
    """Its place within `raw`, if that is a frame; None if all of `raw` was rejected."""


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
                for event, connection in zip(rejected, connections, strict=True)
            ],
        )
