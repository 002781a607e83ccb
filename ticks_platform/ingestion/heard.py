"""Tells the silence detector what was received."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.rows.tables import HALTS


def record(silence: SilenceDetector, batch: DecodedBatch) -> None:
    """Record the symbols of a batch, by the clock of the silence detector, which is never set."""
    ahead = round(silence.ahead * 1e9)
    last = batch.groups[-1]
    until = (last.received_at[-1] + last.correction - ahead) / 1e9
    for table, rows in batch.tables:
        if table is not HALTS:
            silence.record(rows.column("symbol"), until=until, arrivals=partial(_shifted, rows.received_at, -ahead))
    for halt, arrival in zip(batch.halts.as_events(), _shifted(batch.halts.received_at, -ahead), strict=True):
        silence.record_halt(halt.symbol, halt.kind, arrival / 1e9)
    silence.mark_decoded(until)


def _shifted(times: npt.NDArray[np.int64], by: int) -> list[int]:
    shifted: list[int] = (times + by).tolist()
    return shifted
