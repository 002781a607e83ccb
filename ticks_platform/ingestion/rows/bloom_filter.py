"""A set of hashes in bounded memory, for what was decoded recently."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_INDEX_BITS = 26
_INDEX_MASK = (1 << _INDEX_BITS) - 1


class BloomFilter:
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
