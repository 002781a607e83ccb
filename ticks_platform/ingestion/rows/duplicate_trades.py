"""Finds trades that the provider sends again, so that each is stored once.

A trade is identified by symbol, exchange, trade id and day. One that was taken back and comes again with other data is
the corrected trade, which is stored as well. Bloom filters in memory tell which trades may have been stored before;
only those are looked up in the table. So an ordinary trade costs one lookup in a filter, whatever the size of the table
and however often the process was restarted.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.rows.tables import Rows, conditions_text, trade_day_begin, trade_days
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

FILTER_CAPACITY = 500_000
"""Trades per filter; two filters are kept, in 16 MB. Older trades are looked up in the table."""

LATE = 5_000_000_000
"""Nanoseconds of delay beyond the feed's least delay, from which on a trade is looked up in the table: a repair, which
these filters do not know of, may have stored it."""

_INDEX_BITS = 26
_INDEX_MASK = (1 << _INDEX_BITS) - 1

Key = tuple[str, str | None, str, int]
"""Symbol, exchange, trade id, day. A trade without an id, or with an empty one, is never a duplicate."""


class Suspect(NamedTuple):
    """A trade that may have been stored before."""

    place: int
    """Its index among the rows."""
    key: Key
    time: int
    """Event time in nanoseconds since the Unix epoch."""
    price: float
    size: float | None
    conditions: Any
    """None, or a tuple of numbers."""
    seen: bool
    """Whether this process has probably decoded a trade with this key; otherwise the trade is too old to tell."""


class TradeMemory:
    """Remembers the trades of one feed that were decoded recently."""

    def __init__(self) -> None:
        self.horizon: int | None = None
        """Latest event time, in nanoseconds, of stored trades that are not remembered here; None if there are none."""
        self._least_delay = 0
        self._is_first = True
        self._recent, self._older = _BloomFilter(), _BloomFilter()
        self._recent_until = self._older_until = -(2**63)

    def suspects(self, ticks: Rows, *, corrected: bool = False) -> tuple[list[int], list[Suspect]]:
        """Find the indexes of ticks that repeat an earlier one of these rows, and the ticks that may be stored already.

        Remembers all of them. `corrected` tells that some of them may correct others: then only one with the same
        price, size and conditions repeats an earlier one.
        """
        ids = ticks.texts("trade_id")
        if ids is None:
            return [], []
        symbols, exchanges, times = ticks.column("symbol"), ticks.column("exchange"), ticks.times("time")
        # Without the day, which is computed for the few suspects only.
        hashes = np.fromiter(map(hash, zip(symbols, exchanges, ids, strict=True)), np.int64, len(ids))
        seen = self._recent.may_contain(hashes) | self._older.may_contain(hashes)
        self._recent.add(hashes)
        has_repeats = len(np.unique(hashes)) < len(hashes)
        suspicious = seen | self._late(ticks.received_at - times)
        if self.horizon is not None:
            suspicious |= times <= self.horizon
        self._rotate(int(times.max()))
        if not has_repeats and not suspicious.any():
            return [], []
        prices, sizes, conditions = ticks.numbers("price"), ticks.numbers("size"), ticks.column("conditions")
        assert prices is not None

        def data(place: int) -> tuple[float, float | None, Any]:
            size = None if sizes is None or np.isnan(sizes[place]) else float(sizes[place])
            return float(prices[place]), size, conditions[place]

        keys: list[Any] = list(zip(symbols, exchanges, ids, trade_days(times).tolist(), strict=True))
        found = [
            Suspect(place, keys[place], int(times[place]), *data(place), bool(seen[place]))
            for place in np.flatnonzero(suspicious).tolist()
            if ids[place] is not None
        ]
        if not has_repeats:
            return [], found
        if corrected:
            keys = [(*key, *data(place)[:2], conditions_text(conditions[place])) for place, key in enumerate(keys)]
        return _repeats(keys), found

    def _late(self, delays: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which ticks are late, compared with the batches before; the first batch is compared with no delay."""
        late: npt.NDArray[np.bool_] = delays > self._least_delay + LATE
        least = int(delays.min())
        self._least_delay = least if self._is_first else min(least, self._least_delay)
        self._is_first = False
        return late

    def _rotate(self, until: int) -> None:
        self._recent_until = max(self._recent_until, until)
        if self._recent.size >= FILTER_CAPACITY:
            if self._older.size:
                self.horizon = max(self._older_until, self.horizon if self.horizon is not None else self._older_until)
            self._older, self._older_until = self._recent, self._recent_until
            self._recent, self._recent_until = _BloomFilter(), -(2**63)


def _repeats(keys: Sequence[tuple[Any, ...]]) -> list[int]:
    """The indexes of keys that occur earlier in the list."""
    before: set[tuple[Any, ...]] = set()
    places = []
    for place, key in enumerate(keys):
        if not key[2]:
            continue
        if key in before:
            places.append(place)
        before.add(key)
    return places


class _BloomFilter:
    """A set of hashes with false positives: one in a million when full (Bloom, 1970).

    numpy handles a batch at once, in 8 MB; a Python set takes 50 MB for as many, and longer than decoding does.
    """

    def __init__(self) -> None:
        self.size = 0
        self._bits = np.zeros(1 << (_INDEX_BITS - 3), np.uint8)

    def add(self, hashes: npt.NDArray[np.int64]) -> None:
        """Add these hashes."""
        indexes = _bit_indexes(hashes).reshape(-1)
        byte, bit = indexes >> 3, _BIT[indexes & 7]
        # If one assignment sets two bits of a byte, one of them is lost; another round sets it.
        while len(byte):
            self._bits[byte] |= bit
            lost = self._bits[byte] & bit == 0
            byte, bit = byte[lost], bit[lost]
        self.size += len(hashes)

    def may_contain(self, hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these hashes may have been added."""
        if not self.size:
            return np.zeros(len(hashes), np.bool_)
        indexes = _bit_indexes(hashes)
        contained: npt.NDArray[np.bool_] = (self._bits[indexes >> 3] & _BIT[indexes & 7] != 0).all(axis=0)
        return contained


_BIT = np.left_shift(1, np.arange(8)).astype(np.uint8)


def _bit_indexes(hashes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Four bit indexes of each hash, by double hashing (Kirsch and Mitzenmacher, 2006)."""
    first, step = hashes & _INDEX_MASK, (hashes >> 32) | 1
    return np.stack([(first + number * step) & _INDEX_MASK for number in range(4)])


def stored_until(cursor: Cursor, feed: str) -> int | None:
    """Event time of a feed's newest stored tick, in nanoseconds; None if no tick was ever loaded.

    Only the last hour that was loaded is searched. If none of its ticks are left, the end of that hour is returned,
    since ticks of earlier hours may still be stored.
    """
    cursor.execute(sql_files.read("queries/rows/last_stored_tick.sql"), {"feed": feed})
    row = cursor.fetchone()
    return row[0] if row else None


def stored_before(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    """The indexes of the suspects that are in the table, usually with the same event time."""
    suspects = [suspect for suspect in suspects if _can_be_stored(suspect.key)]
    if not suspects:
        return []
    found = set(_at_the_same_time(cursor, feed, suspects))
    # A trade that was seen and is not found was rejected, or has another time now: search the whole day.
    rest = [suspect for suspect in suspects if suspect.seen and suspect.place not in found]
    if rest:
        found.update(_on_the_same_day(cursor, feed, rest))
    return sorted(found)


def _can_be_stored(key: Key) -> bool:
    """Whether the database accepts this text; if not, it has never stored the trade, and a query would fail."""
    try:
        return "\0" not in "".join(part for part in key[:3] if part).encode().decode()
    except (TypeError, UnicodeEncodeError):
        return False


def _at_the_same_time(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    times = [from_nanoseconds(suspect.time) for suspect in suspects]
    parameters = {**_columns(suspects), "times": times, "first": min(times), "last": max(times), "feed": feed}
    cursor.execute(sql_files.read("queries/rows/trades_at_same_time.sql"), parameters)
    return [row[0] for row in cursor.fetchall()]


def _on_the_same_day(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    days = [from_nanoseconds(trade_day_begin(suspect.key[3])) for suspect in suspects]
    parameters = {**_columns(suspects), "days": days, "first": min(days), "last": max(days), "feed": feed}
    cursor.execute(sql_files.read("queries/rows/trades_on_same_day.sql"), parameters)
    return [row[0] for row in cursor.fetchall()]


def _columns(suspects: list[Suspect]) -> dict[str, list[Any]]:
    """Indexes and keys of suspects by column, named as in the queries."""
    symbols, exchanges, trade_ids = ([suspect.key[field] for suspect in suspects] for field in range(3))
    places = [suspect.place for suspect in suspects]
    prices, sizes = [suspect.price for suspect in suspects], [suspect.size for suspect in suspects]
    return {
        "places": places,
        "symbols": symbols,
        "exchanges": exchanges,
        "trade_ids": trade_ids,
        "prices": prices,
        "sizes": sizes,
        "conditions": [conditions_text(suspect.conditions) or "{}" for suspect in suspects],
    }


def split(ticks: Rows, places: list[int]) -> tuple[Rows, Rows]:
    """The rows that are not at these indexes, and those that are."""
    if not places:
        return ticks, ticks.part(0, 0)
    chosen = np.zeros(len(ticks.events), dtype=np.bool_)
    chosen[places] = True
    return ticks.where(~chosen), ticks.where(chosen)


def replacements(refused: Set[int], ticks: Rows, repeats: Rows) -> tuple[Rows, Rows]:
    """The first repeat of each tick that the database refused (given by position), and the other repeats."""
    if not refused or not repeats.events:
        return ticks.part(0, 0), repeats
    missing = {key for key, position in zip(_keys(ticks), ticks.positions.tolist(), strict=True) if position in refused}
    chosen = []
    for place, key in enumerate(_keys(repeats)):
        if key in missing:
            missing.remove(key)
            chosen.append(place)
    others, first = split(repeats, chosen)
    return first, others


def _keys(ticks: Rows) -> list[Key]:
    days = trade_days(ticks.times("time")).tolist()
    return list(zip(ticks.column("symbol"), ticks.column("exchange"), ticks.column("trade_id"), days, strict=True))
