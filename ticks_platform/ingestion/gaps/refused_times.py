"""Finds the time in which every event of a connection was rejected: it is no coverage, and no time without trades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ticks_platform.ingestion.gaps.killed_coverage import RefusedTime
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent

if TYPE_CHECKING:
    from ticks_platform.ingestion.gaps.coverage import Coverage

LONG_ENOUGH = 5_000_000_000
"""Nanoseconds without an accepted event after which rejected ones end coverage. One among others does not."""


class _State(NamedTuple):
    accepted_at: int
    """The last accepted event; the first event if there is none."""
    rejected_at: int | None = None
    """The first rejected event after it."""
    told: bool = False

    def after(self, at: int, *, is_accepted: bool) -> _State:
        """The state after an event, before its acceptance ends a refusal."""
        state = self
        if not is_accepted and state.rejected_at is None:
            state = state._replace(rejected_at=at)
        if state.rejected_at is not None and at - state.accepted_at > LONG_ENOUGH:
            state = state._replace(told=True)
        return state


class RefusedTimes:
    """The connections of one owner. Times are arrivals, in nanoseconds since the Unix epoch."""

    def __init__(self, coverage: Coverage, epoch: int) -> None:
        self._coverage = coverage
        self._epoch = epoch
        self._states: dict[int, _State] = {}

    def committed(self, batch: DecodedBatch, rejected: Sequence[RejectedEvent]) -> None:
        """A batch was committed; `rejected` are all events of it that were not accepted."""
        if not rejected and not any(state.rejected_at for state in self._states.values()):
            for last in {group.connection: group for group in batch.groups if group.epoch == self._epoch}.values():
                self._states[last.connection] = _State(last.last_arrival)
            return
        for group, is_accepted in _with_data(batch, rejected):
            if group.epoch == self._epoch:
                self._arrived(group.connection, group.last_arrival, is_accepted=is_accepted)

    def _arrived(self, connection: int, at: int, *, is_accepted: bool) -> None:
        before = self._states.get(connection) or _State(at)
        state = before.after(at, is_accepted=is_accepted)
        if state.told and not before.told:
            self._coverage.refuse(connection, state.rejected_at or at)
        if is_accepted:
            if state.told:
                self._coverage.accept(connection, at)
            state = _State(at)
        self._states[connection] = state


class KilledRefusals:
    """The connections of earlier owners, whose journals are loaded."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, int], _State] = {}
        self._next: dict[tuple[int, int], _State] | None = None

    def find(self, batch: DecodedBatch, rejected: Sequence[RejectedEvent], *, epoch: int) -> list[RefusedTime]:
        """The times that end in this batch, of owners before `epoch`. Call `committed` after the commit of the batch.

        Without that, the batch has not been.
        """
        if batch.groups[0].epoch == epoch:
            return []  # and so are all others, which arrived later
        states, found = dict(self._states), []
        for group, is_accepted in _with_data(batch, rejected):
            if group.epoch == epoch:
                continue
            key, at = (group.epoch, group.connection), group.last_arrival
            state = (states.get(key) or _State(at)).after(at, is_accepted=is_accepted)
            if is_accepted:
                if state.told:
                    found.append(RefusedTime(*key, state.accepted_at, state.rejected_at or at, at))
                state = _State(at)
            states[key] = state
        self._next = states
        return found

    def begin(self) -> None:
        """A transaction begins: what was found and is not committed is forgotten."""
        self._next = None

    def committed(self) -> None:
        """The transaction was committed."""
        if self._next is not None:
            self._states, self._next = self._next, None


def _with_data(batch: DecodedBatch, rejected: Sequence[RejectedEvent]) -> Iterator[tuple[FrameGroup, bool]]:
    """The groups that have data, and whether any of it was accepted."""
    rejected_of = np.zeros(len(batch.groups), np.int64)
    if rejected:
        positions = np.array([event.position for event in rejected], np.int64)
        rejected_of += np.bincount(batch.groups_of(positions), minlength=len(batch.groups))
    data_of = batch.events_of - batch.control_of
    for group, data, refused in zip(batch.groups, data_of.tolist(), rejected_of.tolist(), strict=True):
        if data:
            yield group, refused < data
