"""Optional fields cost no price: those that no column can hold are left out, and all that are left out are counted.

A connector tells in `malformed` what it could not read; here are the values that it read and the database would refuse.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from psycopg2.extras import execute_values

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.events import Quote, Tick, with_malformed
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TEXTS = ("exchange", "trade_id")
"""The optional texts of a tick."""
_NUMBERS = ("day_volume", "size", "bid", "ask", "bid_size", "ask_size")
_INT2 = 1 << 15
_DAY = 86_400 * 1_000_000_000
"""Nanoseconds."""


class Count(NamedTuple):
    """Events of one arrival day with a field that could not be read."""

    day: datetime
    field: str
    events: int
    last_received_at: datetime


def are_storable(values: Sequence[Any] | None) -> bool:
    """Whether PostgreSQL can hold all of these as texts."""
    if values is None:
        return True
    try:
        joined = "".join(filter(None, values.counts() if isinstance(values, Coded) else values))
        return "\0" not in joined and (joined.isascii() or bool(joined.encode()))
    except (TypeError, UnicodeEncodeError):
        return False


def clear(events: Sequence[Tick | Quote]) -> list[Tick | Quote]:
    """Without the values of optional fields that their columns cannot hold."""
    return list(map(_cleared, events))


def _cleared(event: Tick | Quote) -> Tick | Quote:
    bad: dict[str, None] = {}
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if value is not None and not _fits(field, value):
            bad[field] = None
    if not bad:
        return event
    cleared = with_malformed(msgspec.structs.replace(event, **bad), tuple(bad))
    assert isinstance(cleared, Tick | Quote)
    return cleared


def _fits(field: str, value: Any) -> bool:
    """Whether an optional field's column can hold a value; True for a field that is not optional."""
    if field in TEXTS:
        return isinstance(value, str) and are_storable([value])
    if field in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if field == "updates":
        return isinstance(value, int) and abs(value) < _INT2
    if field == "conditions":
        return isinstance(value, tuple | list) and all(isinstance(each, int) and abs(each) < _INT2 for each in value)
    return True


def count(names: Sequence[tuple[str, ...] | None] | None, received_at: npt.NDArray[np.int64]) -> list[Count]:
    """Events by arrival day and field that was left out; `names` are the fields of each event."""
    if names is None:
        return []
    events: Counter[tuple[int, str]] = Counter()
    last: dict[tuple[int, str], int] = {}
    for fields, arrival in zip(names, received_at.tolist(), strict=True):
        for field in set(fields or ()):
            key = (arrival // _DAY, field)
            events[key] += 1
            last[key] = max(arrival, last.get(key, arrival))
    return [
        Count(from_nanoseconds(day * _DAY), field, number, from_nanoseconds(last[day, field]))
        for (day, field), number in events.items()
    ]


def add(cursor: Cursor, feed: str, counts: list[Count]) -> None:
    """Add to the database's counts, in the transaction that stores the events."""
    if not counts:
        return
    total: dict[tuple[datetime, str], Count] = {}
    for each in counts:
        known = total.get((each.day, each.field))
        if known is not None:
            last = max(each.last_received_at, known.last_received_at)
            each = each._replace(events=each.events + known.events, last_received_at=last)
        total[each.day, each.field] = each
    execute_values(
        cursor,
        sql_files.read("queries/ledger/count_malformed_fields.sql"),
        [(feed, each.day.date(), each.field, each.events, each.last_received_at) for each in total.values()],
    )
