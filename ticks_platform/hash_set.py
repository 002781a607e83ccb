"""A set of 64-bit hashes, sorted: numpy asks for a whole batch at once, in 8 bytes a hash.

A Python set takes 100 bytes for each, and longer than decoding does. Two different things may have one hash, though
that is rare: whoever finds a hash here compares what it stands for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]

_SMALL = 1 << 16
"""Hashes that are added to a small array; it is merged into the large one when it has as many."""


class HashSet:
    """Hashes that were added, with repetitions."""

    def __init__(self) -> None:
        self._large: Hashes = np.empty(0, np.int64)
        self._small: Hashes = np.empty(0, np.int64)

    @property
    def size(self) -> int:
        """Number of hashes that were added."""
        return len(self._large) + len(self._small)

    def add(self, hashes: Hashes) -> None:
        """Add these hashes; fastest if they are sorted."""
        # A stable sort of numpy merges what is sorted already.
        small = np.sort(np.concatenate((self._small, hashes)), kind="stable")
        if len(small) >= _SMALL:
            # If memory runs out, nothing is added.
            self._large, small = (
                np.sort(np.concatenate((self._large, small)), kind="stable"),
                np.empty(0, np.int64),
            )
        self._small = small

    def contains(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which of these hashes were added; fastest if they are sorted."""
        return _in(self._large, hashes) | _in(self._small, hashes)


def _in(added: Hashes, hashes: Hashes) -> npt.NDArray[np.bool_]:
    if not len(added):
        return np.zeros(len(hashes), np.bool_)
    places = np.searchsorted(added, hashes)
    found: npt.NDArray[np.bool_] = added[np.minimum(places, len(added) - 1)] == hashes
    return found
