"""What the stand-in's market made, compared with what is stored: of each event, once or within a known gap."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from ticks_platform.timescale.database import Database
from ticks_standin import StandIn

TOLERANCE = timedelta(milliseconds=50)
"""A gap's bounds are times of arrival."""

WHOLE = timedelta(seconds=2)
"""Longer than the second to which a provider rounds its times."""

Key = tuple[str, str, int]
"""By what an event and its row are the same: symbol, trade id (or price if there is none), time in milliseconds."""


def key_of(body: dict[str, Any], symbol: str) -> Key:
    """The key of an event as the provider sent it."""
    if "i" in body:
        return symbol, str(body["i"]), int(body["t"])
    return symbol, f"{body['price']:.5f}", int(body["timestamp"]) * 1000


def keys_of(frames: Iterable[bytes]) -> list[Key]:
    """The keys of the ticks in frames of Polygon and Twelve Data."""
    found = []
    for frame in frames:
        said = json.loads(frame)
        for body in said if isinstance(said, list) else [said]:
            if body.get("ev") == "T":
                found.append(key_of(body, body["sym"]))
            elif body.get("event") == "price":
                found.append(key_of(body, body["symbol"]))
    return found


def stored_ticks(database: Database, begins: datetime, ends: datetime) -> Counter[Key]:
    """How often each event of that time is stored."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT symbol, coalesce(trade_id, to_char(price, 'FM999999990.00000')), "
            "(extract(epoch FROM time) * 1000)::bigint, count(*) FROM stocks_real_time "
            "WHERE time BETWEEN %s AND %s GROUP BY 1, 2, 3",
            (begins, ends),
        )
        return Counter({(symbol, name, at): count for symbol, name, at, count in cursor.fetchall()})


def unaccounted(stand_in: StandIn, database: Database, begins: datetime, ends: datetime) -> list[str]:
    """The events that are stored neither once nor lie in a known gap, in words."""
    # Without an id, which of the events of one second and price are stored is not known, but how many.
    made = stand_in.made(begins=begins - WHOLE, ends=ends + WHOLE, payloads=True)
    assert not made.forgotten
    stored = stored_ticks(database, begins - timedelta(seconds=5), ends + timedelta(seconds=5))
    with database.transaction() as cursor:
        cursor.execute("SELECT symbol, begins_at, coalesce(ends_at, 'infinity') FROM ticks_platform.feed_gap")
        known = cursor.fetchall()
    by_key: dict[Key, list[Any]] = {}
    for event in made.events:
        by_key.setdefault(key_of(event.decoded(), event.symbol), []).append(event)
    found = []
    for key, events in by_key.items():
        moments = [datetime.fromtimestamp(event.made_ms / 1e3, timezone.utc) for event in events]
        # Of the second in which the look ends, what came a second later is stored, too.
        if not begins < moments[0] <= ends or stored[key] == len(events):
            continue
        missed = sum(
            any(s == key[0] and a <= at + TOLERANCE and at - TOLERANCE <= b for s, a, b in known) for at in moments
        )
        if not len(events) - missed <= stored[key] <= len(events):
            found.append(
                f"{key}: made {', '.join(f'{at:%H:%M:%S.%f}' for at in moments)}, {missed} of them in a known gap; "
                f"stored {stored[key]} times, sent on {[event.sent_on for event in events]}"
            )
    return found


def story(database: Database, since: datetime) -> list[str]:
    """What the tables say of that time, for whoever looks for the cause of a problem."""
    lines = []
    with database.transaction() as cursor:
        for table in ("feed_gap", "feed_coverage", "feed_session"):
            cursor.execute(f"SELECT t::text FROM ticks_platform.{table} t ORDER BY 1")
            lines += [f"{table}: {row}" for (row,) in cursor.fetchall()]
    return [line for line in lines if f"{since:%Y-%m-%d}" in line][-60:]
