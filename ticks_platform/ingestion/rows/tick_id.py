"""The identity of a tick: a UUIDv7 that sorts by event time, then by arrival."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

JOURNAL_BITS: Final = 16
POSITION_BITS: Final = 46


def tick_ids(
    times: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], journal_number: int
) -> npt.NDArray[np.void]:
    """UUIDs of ticks, as 16 bytes each.

    `times` are event times in nanoseconds since the Unix epoch, `positions` the ticks' places in their journal.
    The layout is RFC 9562's version 7 (section 5.7) with the fraction of section 6.2, method 3: 48 bits of
    milliseconds, 12 bits of fraction of a millisecond, then the 62 free bits: 46 of position (70 terabytes) and 16 of
    journal number, so that two journals never make the same one. Ids of equal event time sort by arrival.
    """
    milliseconds, rest = np.divmod(times, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    high = (milliseconds.astype(np.uint64) << np.uint64(16)) | np.uint64(0x7000) | fraction.astype(np.uint64)
    free = (positions.astype(np.uint64) << np.uint64(JOURNAL_BITS)) | np.uint64(journal_number)
    low = np.uint64(0x8000_0000_0000_0000) | (free & np.uint64(0x3FFF_FFFF_FFFF_FFFF))
    ids = np.empty((len(times), 2), dtype=">u8")
    ids[:, 0] = high
    ids[:, 1] = low
    return ids.view("V16").reshape(-1)
