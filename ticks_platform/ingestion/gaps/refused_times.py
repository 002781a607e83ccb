"""Finds the time in which every event of a connection was rejected: it is no coverage, and no time without trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent

LONG_ENOUGH = 5_000_000_000
"""Nanoseconds without an accepted event after which rejected ones end coverage. One among others does not."""


class _State(NamedTuple):
    accepted_at: int
    """The last accepted event; the first event if there is none."""
    rejected_at: int | None = None
    """The first rejected event after it."""
    told: bool = False


class RefusedTimes:
    """The connections of one owner. Times are arrivals, in nanoseconds since the Unix epoch."""

    def __init__(self, coverage: Coverage, epoch: int) -> None:
        self._coverage = coverage
        self._epoch = epoch
        self._states: dict[int, _State] = {}

    def committed(self, batch: DecodedBatch, rejected: Sequence[RejectedEvent]) -> None:
        """A batch was committed; `rejected` are all events of it that were not accepted."""
        rejected_of = np.zeros(len(batch.groups), np.int64)
        if rejected:
            positions = np.array([event.position for event in rejected], np.int64)
            rejected_of += np.bincount(batch.groups_of(positions), minlength=len(batch.groups))
        elif not any(state.rejected_at for state in self._states.values()):
            for last in {group.connection: group for group in batch.groups if group.epoch == self._epoch}.values():
                self._states[last.connection] = _State(last.last_arrival)
            return
        data_of = batch.events_of - batch.control_of
        for group, data, refused in zip(batch.groups, data_of.tolist(), rejected_of.tolist(), strict=True):
            if data and group.epoch == self._epoch:
                at = group.last_arrival
                self._arrived(group.connection, at, is_accepted=refused < data)

    def _arrived(self, connection: int, at: int, *, is_accepted: bool) -> None:
        state = self._states.get(connection) or _State(at)
        if not is_accepted and state.rejected_at is None:
            state = state._replace(rejected_at=at)
        if state.rejected_at is not None and not state.told and at - state.accepted_at > LONG_ENOUGH:
            self._coverage.refuse(connection, state.rejected_at)
            state = state._replace(told=True)
        if is_accepted:
            if state.told:
                self._coverage.accept(connection, at)
            state = _State(at)
        self._states[connection] = state
