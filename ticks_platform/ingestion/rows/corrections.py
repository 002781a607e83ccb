"""Takes trades back that the market cancelled or corrected: sets the bit of their ticks, and records what was before.

A correction names its trade by symbol, exchange, trade id and day. If no such trade is stored, the correction waits in
`tick_correction` until the trade comes, since a cancel may overtake its trade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from psycopg2 import sql
from psycopg2.extras import execute_values

from ticks_platform.feeds.events import Correction
from ticks_platform.feeds.trade_ids import trade_day_begin, trade_days
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows.stored_trades import conditions_text
from ticks_platform.ingestion.rows.tables import CORRECTIONS, Rows, tick_ids
from ticks_platform.timescale import fingerprints, sql_files
from ticks_platform.timescale.fingerprints import Change
from ticks_platform.timestamps import from_nanoseconds, to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class _StoredTick(NamedTuple):
    """A stored tick that a correction names, as it is before."""

    place: int
    tick_id: str
    time: datetime
    price: float | None
    size: float | None
    updates: int | None
    conditions: list[int] | None
    is_meant: bool


def take_back(cursor: Cursor, lease: Lease, corrections: Rows) -> tuple[Rows, Rows, list[Change]]:
    """Take stored ticks back; returns the corrections that did so, with the time of their tick, the others, and what
    that changed.

    Raises psycopg2.Error.
    """
    events: list[Correction] = corrections.as_events()
    changed: dict[int, _StoredTick] = {}
    done: set[str] = set()
    changes = []
    for tick in _stored_ticks(cursor, lease.feed, events):
        if tick.is_meant and tick.place not in changed and tick.tick_id not in done:
            changes += _take_back(cursor, lease, events[tick.place].symbol, tick)
            changed[tick.place] = tick
            done.add(tick.tick_id)
    _record(cursor, lease, corrections, changed)
    is_changed = np.zeros(len(events), np.bool_)
    is_changed[list(changed)] = True
    at_ticks_time = [
        msgspec.structs.replace(event, time=to_nanoseconds(changed[place].time)) if place in changed else event
        for place, event in enumerate(events)
    ]
    timed = corrections._replace(events=at_ticks_time)
    return timed.where(is_changed), corrections.where(~is_changed), changes


def wait(cursor: Cursor, lease: Lease, corrections: Rows) -> tuple[Rows, Rows]:
    """Let corrections wait whose trade is not stored at all; returns them and the others, which change nothing."""
    events: list[Correction] = corrections.as_events()
    without_effect = {tick.place for tick in _stored_ticks(cursor, lease.feed, events)}
    without_effect.update(place for place, event in enumerate(events) if event.kept_price is not None)
    cursor.execute(sql_files.read("queries/corrections/waits_already.sql"), _parameters(lease.feed, events))
    without_effect.update(place for (place,) in cursor.fetchall())
    seen: set[tuple[Any, ...]] = set()
    for place, (event, day) in enumerate(zip(events, _days(events), strict=True)):
        key = (event.symbol, event.exchange, event.trade_id, day, event.price, event.size, event.conditions)
        if key in seen:
            without_effect.add(place)
        seen.add(key)
    waits = np.ones(len(events), np.bool_)
    waits[list(without_effect)] = False
    waiting = corrections.where(waits)
    _record(cursor, lease, waiting, dict.fromkeys(range(len(waiting.events))))
    return waiting, corrections.where(~waits)


def apply_waiting(cursor: Cursor, lease: Lease, ticks: Sequence[Rows]) -> list[Change]:
    """Take back those of these ticks, just stored, for which a correction waits; returns what that changed."""
    days = trade_days(np.array([at for rows in ticks for at in (rows.times("time").min(), rows.times("time").max())]))
    first, last = (from_nanoseconds(trade_day_begin(int(day))) for day in (days.min(), days.max()))
    parameters = {"feed": lease.feed, "first": first, "last": last}
    cursor.execute(sql_files.read("queries/corrections/waiting.sql"), parameters)
    waiting = cursor.fetchall()
    if not waiting:
        return []
    trade_ids = {trade_id for rows in ticks for trade_id in rows.texts("trade_id") or ()}
    waiting = [row for row in waiting if row[4] in trade_ids]
    events = [
        Correction(symbol, to_nanoseconds(time), exchange, trade_id, "cancelled", "", price, size, conditions)
        for _id, time, symbol, exchange, trade_id, price, size, conditions in waiting
    ]
    changes = []
    for tick in _stored_ticks(cursor, lease.feed, events):
        if tick.is_meant:
            changes += _take_back(cursor, lease, events[tick.place].symbol, tick)
            parameters = {**tick._asdict(), "correction_id": waiting[tick.place][0]}
            cursor.execute(sql_files.read("queries/corrections/applied.sql"), parameters)
    return changes


def _stored_ticks(cursor: Cursor, feed: str, events: Sequence[Correction]) -> list[_StoredTick]:
    if not events:
        return []
    cursor.execute(sql_files.read("queries/corrections/stored_ticks.sql"), _parameters(feed, events))
    found = [_StoredTick(*row) for row in cursor.fetchall()]
    if any(tick.is_meant for tick in found):
        # The limit guards against statements that unpack more than was meant, and each of these unpacks the batch of
        # one trade. Corrections of a whole day may reach it together, and would be tried for ever.
        cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    return found


def _days(events: Sequence[Correction]) -> list[int]:
    days: list[int] = trade_days(np.array([event.time for event in events], np.int64)).tolist()
    return days


def _parameters(feed: str, events: Sequence[Correction]) -> dict[str, Any]:
    days = [from_nanoseconds(trade_day_begin(day)) for day in _days(events)]
    columns = {
        f"{name}s": [getattr(event, name) for event in events]
        for name in ("symbol", "exchange", "trade_id", "price", "size", "kept_price", "kept_size")
    }
    for name in ("conditions", "kept_conditions"):
        columns[name] = [conditions_text(getattr(event, name)) for event in events]
    places = list(range(len(events)))
    return {
        **columns,
        "feed": feed,
        "places": places,
        "days": days,
        "first": min(days, default=None),
        "last": max(days, default=None),
    }


def _take_back(cursor: Cursor, lease: Lease, symbol: str, tick: _StoredTick) -> list[Change]:
    hour = tick.time.replace(minute=0, second=0, microsecond=0)
    fingerprints.lock(cursor, [lease.feed], hour, hour + fingerprints.HOUR)
    cursor.execute(
        sql_files.read("queries/corrections/take_back.sql"),
        {"symbol": symbol, "time": tick.time, "tick_id": tick.tick_id},
    )
    return [Change(hour, int(by), tick.time) for hour, by in cursor.fetchall()]


def _record(cursor: Cursor, lease: Lease, corrections: Rows, ticks: dict[int, _StoredTick] | dict[int, None]) -> None:
    """Add rows for the corrections at these places."""
    if not ticks:
        return
    events: list[Correction] = corrections.as_events()
    ids = tick_ids(corrections.times("time"), corrections.positions, lease.journal_number)
    execute_values(
        cursor,
        sql_files.compose(
            "queries/corrections/record.sql", columns=sql.SQL(", ").join(map(sql.Identifier, CORRECTIONS.columns))
        ),
        [
            _row(
                lease.feed,
                events[place],
                bytes(ids[place]).hex(),
                from_nanoseconds(int(corrections.received_at[place])),
                tick,
            )
            for place, tick in ticks.items()
        ],
        template="(%s::uuid, %s, %s, %s, %s, %s, %s, %s::uuid, %s, %s, %s, %s, %s, %s::smallint[])",
        page_size=1000,
    )


def _row(
    feed: str, event: Correction, correction_id: str, known_at: datetime, tick: _StoredTick | None
) -> Iterable[Any]:
    conditions = None if event.conditions is None else list(event.conditions)
    before = (event.price, event.size, None, conditions) if tick is None else tick[3:7]
    time = from_nanoseconds(event.time) if tick is None else tick.time
    names = (event.symbol, event.exchange, event.trade_id, feed, event.kind)
    return (correction_id, time, *names, tick and tick.tick_id, known_at, event.source, *before)
