"""Decodes what a loader takes from its journal, and tells the silence detector and the clock what was in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.updates import SECONDARY
from ticks_platform.ingestion.arrival_clock import ArrivalClock
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.provider_clock import ProviderClocks
from ticks_platform.ingestion.rows.decode import CHUNK_BYTES, Decode, DecodedBatch, DecodeMany, decode_groups
from ticks_platform.ingestion.rows.tables import HALTS

SETTLING = 5.0
"""Seconds to wait for more events if the last ones are from the future: whether their stamps or our clock are wrong."""


class Asked(Protocol):
    """The symbols that a feed may store."""

    def reject_others(self, batch: DecodedBatch) -> DecodedBatch: ...


class Decoding:
    """The decoding of one loader."""

    def __init__(
        self,
        decode: Decode,
        decode_many: DecodeMany | None,
        *,
        clock: ArrivalClock | None,
        silence: SilenceDetector | None,
        secondary: bool,
        asked: Asked | None = None,
    ) -> None:
        """The arguments are those of the loader."""
        self._decode = decode
        self._decode_many = decode_many
        self._clock = clock
        self._provider = clock.provider if clock is not None else ProviderClocks()
        self._silence = silence
        self._secondary = secondary
        self._asked = asked
        self.chunk_bytes = CHUNK_BYTES
        """Bytes of frames that are decoded by one call, approximately."""

    def now(self) -> int:
        """The right time as far as is known, in nanoseconds since the Unix epoch."""
        return self._clock.now() if self._clock is not None else time.time_ns()

    def decode(self, groups: Sequence[FrameGroup], more: Callable[[], list[FrameGroup] | None]) -> DecodedBatch:
        """Decode these groups; with those of `more` too, if the last events are from the future.

        `more` waits a moment for them, and returns None if there is nothing to wait for.
        """
        until = boottime() + SETTLING
        is_final = False
        while True:
            batch = decode_groups(
                groups,
                self._decode,
                self._decode_many,
                self._provider,
                is_final=is_final,
                chunk_bytes=self.chunk_bytes,
            )
            if not batch.doubtful:
                break
            following = more()
            is_final = following is None or boottime() >= until
            groups = [*groups, *(following or ())]
        if self._clock is not None:
            self._clock.learned()
        if self._asked is not None:
            batch = self._asked.reject_others(batch)
        if self._secondary:
            batch = batch._replace(ticks=batch.ticks.marked(SECONDARY))
        if self._silence is not None:
            _tell(self._silence, batch)
        return batch


def _tell(silence: SilenceDetector, batch: DecodedBatch) -> None:
    """Record the symbols of a batch, by the clock of the silence detector, which is never set."""
    ahead = round(silence.ahead * 1e9)
    last = batch.groups[-1]
    until = (last.last_arrival - ahead) / 1e9
    for table, rows in batch.tables:
        if table is not HALTS:
            silence.record(rows.column("symbol"), until=until, arrivals=partial(_shifted, rows.received_at, -ahead))
    for halt, arrival in zip(batch.halts.as_events(), _shifted(batch.halts.received_at, -ahead), strict=True):
        silence.record_halt(halt.symbol, halt.kind, arrival / 1e9)
    silence.mark_decoded(until)


def _shifted(times: npt.NDArray[np.int64], by: int) -> list[int]:
    shifted: list[int] = (times + by).tolist()
    return shifted
