"""Batches that are ready to be committed, and their halves."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.store import PreparedBatch, prepare
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale.failures import UNSTORABLE


class NextBatch(NamedTuple):
    """A prepared batch, and the events that were removed from it because the predecessor has stored them."""

    prepared: PreparedBatch
    left_out: list[Rows]
    memory: TradeMemory | None = None
    """Of a half: a memory of the whole batch."""

    @property
    def batch(self) -> DecodedBatch:
        """Its events."""
        return self.prepared.batch

    @property
    def is_one_group(self) -> bool:
        """Whether it has no halves: a checkpoint is at the end of a group of frames."""
        return len(self.batch.groups) == 1

    def halves(self, lease: Lease) -> tuple[NextBatch, NextBatch]:
        """The first half of its groups and the second, each to be committed by itself."""
        memory = self.memory
        if memory is None:
            # Knows all of their trades, so all are looked up in the table: the first half may have stored them.
            memory = TradeMemory()
            with contextlib.suppress(*UNSTORABLE):
                memory.suspects(self.batch.ticks)
        first, second = self.batch.halves()
        boundary = second.groups[0].position
        before = [rows.between(-1, boundary) for rows in self.left_out]
        after = [rows.between(boundary, second.end) for rows in self.left_out]
        return (
            NextBatch(prepare(first, memory, lease), before, memory),
            NextBatch(prepare(second, memory, lease), after, memory),
        )
