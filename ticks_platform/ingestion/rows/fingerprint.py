"""The fingerprint of ticks: the sum of their hashes, as the database computes it of the rows that they become.

The formula is that of the function `ticks_platform.tick_hash`, by numpy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.rows.tables import Rows, tick_ids
from ticks_platform.timescale import hashing

VERSION = 1
"""Of the formula; the database's is `ticks_platform.fingerprint_version()`."""

_AT_ONCE = 8192
"""Ticks that are hashed at once: what fits the processor's cache."""


def hashes(ticks: Rows, journal_number: int) -> npt.NDArray[np.int64]:
    """The hash of each of these ticks, 0 for one without a price."""
    found = np.empty(len(ticks.events), np.int64)
    ids = tick_ids(ticks.times("time"), ticks.positions, journal_number)
    columns = [ticks.numbers(name) for name in ("price", "size", "updates")]
    for begin in range(0, len(found), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        price, size, updates = (None if column is None else column[some] for column in columns)
        found[some] = _hashes(ids[some], price, size, updates).view(np.int64)
    return found


def sums(values: npt.NDArray[np.int64], first: npt.NDArray[np.intp]) -> list[int]:
    """The exact sum of each run of hashes, given where each begins; 64 bits do not hold it."""
    high = np.add.reduceat(values >> 32, first).tolist()
    low = np.add.reduceat(values & 0xFFFFFFFF, first).tolist()
    return [(upper << 32) + lower for upper, lower in zip(high, low, strict=True)]


def _hashes(
    ids: npt.NDArray[np.void], price: npt.NDArray[np.float64] | None, *optional: npt.NDArray[np.float64] | None
) -> hashing.Hashes:
    if price is None:
        return np.zeros(len(ids), np.uint64)
    size, updates = optional
    without_size = np.ones(len(ids), np.bool_) if size is None else np.isnan(size)
    found = hashing.floats(price, hashing.uuids(ids, without_size.astype(np.uint64)))
    if size is not None:
        found = _where_known(size, hashing.floats(size, found), found)
    if updates is not None:
        null = np.isnan(updates)
        bits = np.where(null, 0.0, updates).astype(np.int16)
        found = np.where(null, found, hashing.integers(bits, found))
    return _where_known(price, found, np.zeros(len(ids), np.uint64))


def _where_known(values: npt.NDArray[np.float64], known: hashing.Hashes, null: hashing.Hashes) -> hashing.Hashes:
    """NaN stands for NULL, as in COPY."""
    missing = np.isnan(values)
    return np.where(missing, null, known) if missing.any() else known
