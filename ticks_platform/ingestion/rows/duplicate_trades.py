"""Trades that the provider sends again: told apart by symbol, exchange, trade id and day, and stored once.

Memory says which trades may have been stored before, and only those are looked up in the table; so an ordinary trade
costs one look into a set, and nothing depends on how long the table is or how often the process was restarted.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

GENERATION = 500_000
"""Trades in a generation; two are remembered, in 16 MB. What is older is looked up in the table."""

LATE = 5_000_000_000
"""Nanoseconds by which a trade may be later than those of its feed are at the least; one that is later is looked up in
the table: a repair may have stored it meanwhile, which nobody here remembers."""

_PLACE_BITS = 26
_PLACE_MASK = (1 << _PLACE_BITS) - 1

_DAY = 86_400 * 1_000_000_000

_DAY_BEGINS = 5 * 3600 * 1_000_000_000
"""05:00 UTC: no session of a US exchange, which numbers its trades anew each day, spans it in summer or in winter."""

Key = tuple[str, str | None, str, int]
"""Symbol, exchange, trade id, day. A trade whose id is None or empty is a duplicate of none."""


class Suspect(NamedTuple):
    """A trade that may have been stored before, by its place among the rows."""

    place: int
    key: Key
    time: int
    seen: bool
    """Whether a trade with this key was seen by this process; otherwise it is merely too old for its memory."""


class TradeMemory:
    """Remembers the trades of one feed that have been decoded lately."""

    def __init__(self) -> None:
        self.horizon: int | None = None
        """Event time, in nanoseconds, up to which trades may have been stored that are not remembered here."""
        self._least_lag = 0
        self._is_first = True
        self._recent, self._older = _Generation(), _Generation()
        self._recent_until = self._older_until = -(2**63)

    def suspects(self, ticks: Rows) -> tuple[list[int], list[Suspect]]:
        """Places of ticks that are in these rows twice, and those that may have been stored before. Remembers all."""
        ids = ticks.texts("trade_id")
        if ids is None:
            return [], []
        symbols, exchanges, times = ticks.column("symbol"), ticks.column("exchange"), ticks.times("time")
        # The day is left out here: it only matters for the few that look suspicious.
        hashes = np.fromiter(map(hash, zip(symbols, exchanges, ids, strict=True)), np.int64, len(ids))
        seen = self._recent.holds(hashes) | self._older.holds(hashes)
        self._recent.add(hashes)
        has_twins = len(np.unique(hashes)) < len(hashes)
        suspicious = seen | self._late(ticks.received_at - times)
        if self.horizon is not None:
            suspicious |= times <= self.horizon
        self._grow_old(int(times.max()))
        if not has_twins and not suspicious.any():
            return [], []
        keys: list[Any] = list(zip(symbols, exchanges, ids, ((times - _DAY_BEGINS) // _DAY).tolist(), strict=True))
        found = [
            Suspect(place, keys[place], int(times[place]), bool(seen[place]))
            for place in np.flatnonzero(suspicious).tolist()
            if ids[place] is not None
        ]
        return self._twice(keys) if has_twins else [], found

    def _late(self, lags: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these are late, judged by what came before; at the begin none is expected to be streamed late."""
        late: npt.NDArray[np.bool_] = lags > self._least_lag + LATE
        least = int(lags.min())
        self._least_lag = least if self._is_first else min(least, self._least_lag)
        self._is_first = False
        return late

    @staticmethod
    def _twice(keys: list[Key]) -> list[int]:
        before: set[Key] = set()
        places = []
        for place, key in enumerate(keys):
            if not key[2]:
                continue
            if key in before:
                places.append(place)
            before.add(key)
        return places

    def _grow_old(self, until: int) -> None:
        self._recent_until = max(self._recent_until, until)
        if self._recent.size >= GENERATION:
            if self._older.size:
                self.horizon = max(self._older_until, self.horizon if self.horizon is not None else self._older_until)
            self._older, self._older_until = self._recent, self._recent_until
            self._recent, self._recent_until = _Generation(), -(2**63)


class _Generation:
    """A set of hashes that may hold some which were never added: one in a million, when it is full (Bloom, 1970).

    All of a batch at once by numpy, in 8 MB: a set of Python has 50 for as many, and takes longer than decoding does.
    """

    def __init__(self) -> None:
        self.size = 0
        self._bits = np.zeros(1 << (_PLACE_BITS - 3), np.uint8)

    def add(self, hashes: npt.NDArray[np.int64]) -> None:
        """Add these."""
        places = _places(hashes).reshape(-1)
        byte, bit = places >> 3, _BIT[places & 7]
        # Of two bits for one byte, one is lost in such an assignment; it finds its place in another round.
        while len(byte):
            self._bits[byte] |= bit
            lost = self._bits[byte] & bit == 0
            byte, bit = byte[lost], bit[lost]
        self.size += len(hashes)

    def holds(self, hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these may have been added before."""
        if not self.size:
            return np.zeros(len(hashes), np.bool_)
        places = _places(hashes)
        held: npt.NDArray[np.bool_] = (self._bits[places >> 3] & _BIT[places & 7] != 0).all(axis=0)
        return held


_BIT = np.left_shift(1, np.arange(8)).astype(np.uint8)


def _places(hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Four places of each, by double hashing (Kirsch and Mitzenmacher, 2006)."""
    first, step = hashes & _PLACE_MASK, (hashes >> 32) | 1
    return np.stack([(first + number * step) & _PLACE_MASK for number in range(4)])


def stored_until(cursor: Cursor, feed: str) -> int | None:
    """Event time of the latest tick of a feed in the table, in nanoseconds; None when there is none.

    It is sought in the last hour only that was loaded. When nothing is left of that, its end is the answer: the hours
    before it may still be there.
    """
    cursor.execute(sql_files.read("queries/rows/last_stored_tick.sql"), {"feed": feed})
    row = cursor.fetchone()
    return row[0] if row else None


def stored_before(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    """The places of those suspects that are in the table. A trade that is sent again has the time that it had."""
    suspects = [suspect for suspect in suspects if _can_be_stored(suspect.key)]
    if not suspects:
        return []
    found = set(_at_the_same_time(cursor, feed, suspects))
    # A trade that was seen and is not there was rejected, or comes with another time now: only the day knows.
    rest = [suspect for suspect in suspects if suspect.seen and suspect.place not in found]
    if rest:
        found.update(_on_the_same_day(cursor, feed, rest))
    return sorted(found)


def _at_the_same_time(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    times = [from_nanoseconds(suspect.time) for suspect in suspects]
    parameters = {**_columns(suspects), "times": times, "first": min(times), "last": max(times), "feed": feed}
    cursor.execute(sql_files.read("queries/rows/trades_at_same_time.sql"), parameters)
    return [row[0] for row in cursor.fetchall()]


def _on_the_same_day(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    days = [from_nanoseconds(suspect.key[3] * _DAY + _DAY_BEGINS) for suspect in suspects]
    parameters = {**_columns(suspects), "days": days, "first": min(days), "last": max(days), "feed": feed}
    cursor.execute(sql_files.read("queries/rows/trades_on_same_day.sql"), parameters)
    return [row[0] for row in cursor.fetchall()]


def _can_be_stored(key: Key) -> bool:
    """Whether the database can be asked for it; if not, it will be refused, and has been each time before."""
    try:
        return "\0" not in "".join(part for part in key[:3] if part).encode().decode()
    except (TypeError, UnicodeEncodeError):
        return False


def _columns(suspects: list[Suspect]) -> dict[str, list[Any]]:
    """Places and keys of suspects, column by column, by the names that the queries have for them."""
    symbols, exchanges, trade_ids = ([suspect.key[field] for suspect in suspects] for field in range(3))
    places = [suspect.place for suspect in suspects]
    return {"places": places, "symbols": symbols, "exchanges": exchanges, "trade_ids": trade_ids}


def instead_of(refused: Set[int], ticks: Rows, copies: Rows) -> tuple[Rows, Rows]:
    """The first copy of each of those ticks that were refused, by position, and the other copies."""
    if not refused or not copies.events:
        return ticks.part(0, 0), copies
    wanted = {key for key, position in zip(_keys(ticks), ticks.positions.tolist(), strict=True) if position in refused}
    chosen = []
    for place, key in enumerate(_keys(copies)):
        if key in wanted:
            wanted.remove(key)
            chosen.append(place)
    others, first = without(copies, chosen)
    return first, others


def _keys(ticks: Rows) -> list[Key]:
    days = ((ticks.times("time") - _DAY_BEGINS) // _DAY).tolist()
    return list(zip(ticks.column("symbol"), ticks.column("exchange"), ticks.column("trade_id"), days, strict=True))


def without(ticks: Rows, places: list[int]) -> tuple[Rows, Rows]:
    """The rows without those at `places`, and those."""
    if not places:
        return ticks, ticks.part(0, 0)
    gone = np.zeros(len(ticks.events), dtype=np.bool_)
    gone[places] = True
    return ticks.where(~gone), ticks.where(gone)
