"""Estimates how wrong this machine's clock is, from the event times that a provider stamps.

An event is stamped before it arrives, so by a right clock its lead (event time minus arrival) is at most zero. How much
it is below zero is the lag, which is small for some events and may be large for any. So the largest leads tell the
provider's clock, and the other ones nothing: old events, late trades and a delayed feed do not look like a wrong clock.

A clock that is behind is certain: events do not come from the future. A clock that is ahead looks like lag. It is told
apart only if the lag is known to be small: by an earlier agreement of both clocks, since the wall clock is compared
with one that nobody sets; or by the Date header of the handshake.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

SIGNIFICANT = 2_000_000_000
"""Nanoseconds by which a clock must be behind to be corrected. Some providers stamp whole seconds."""

AGREES = 5_000_000_000
"""Nanoseconds of lag, or between our clock and a Date header, that are no sign of a wrong clock."""

MIN_EVENTS = 3
"""Events that must agree for a first estimate."""

ENOUGH_EVENTS = 5
"""Events in a row that must agree to move an estimate at once."""

TOGETHER = 60_000_000_000
"""Nanoseconds within which events agree."""

_WINDOW = 64
"""Events of which the largest leads are taken."""

_SHARE = 5
"""The estimate is a lead that one of so many events exceeds: one wrong stamp, or one symbol's, does not move it."""

_MEMORY = 600_000_000_000
"""Nanoseconds for which an estimate is kept that later events do not confirm: they may all be late."""

_SLOT = 10_000_000_000

_KEPT = 1000
"""Connections that are remembered: more than are open at once."""

_SECOND = 1_000_000_000


class Lead(NamedTuple):
    """What one event tells."""

    at: int
    """Its arrival by a clock that is never set, in nanoseconds."""
    lead: int
    """Its time minus its arrival, by that clock, in nanoseconds."""


class ProviderClock:
    """The provider's clock as one connection tells it. Leads are against a clock that is never set.

    For one writing thread; any thread may read `correction`.
    """

    def __init__(self) -> None:
        self._window: deque[int] = deque(maxlen=_WINDOW)
        self._slots: deque[Lead] = deque()
        # Whether lag is known to be small, so that the estimate is the provider's clock and no lower bound.
        self._timely = False
        self.is_certain = False
        """Whether `lead` can be relied on for another connection."""
        self.lead: int | None = None
        """By how much the provider's clock is ahead, as its events tell; None if there are too few."""
        self.told: int | None = None
        """The same as told before the first events: by a Date header, or by a journal."""

    def observe(self, leads: Sequence[Lead], *, stepped: int) -> None:
        """Take events into account, in the order of their arrival; `stepped` as in `correction`."""
        self._window.extend(each.lead for each in leads)
        if len(self._window) < MIN_EVENTS:
            return
        last = list(self._window)[-ENOUGH_EVENTS:]
        if len(last) == ENOUGH_EVENTS and max(last) - min(last) < TOGETHER and self._is_above(min(last)):
            # The provider's clock cannot jump; ours has, while this machine stood still.
            self._window = deque(last, maxlen=_WINDOW)
        largest = sorted(self._window, reverse=True)
        self._keep(Lead(leads[-1].at, largest[max(MIN_EVENTS - 1, len(largest) // _SHARE)]))
        largest_lead = max(slot.lead for slot in self._slots)
        if self.lead is None or not 0 <= self.lead - largest_lead < SIGNIFICANT:
            self.lead = largest_lead
        ahead = self.lead - stepped
        if -AGREES < ahead < SIGNIFICANT:
            self._timely = True
        self.is_certain = self._timely or ahead >= SIGNIFICANT

    def needed(self) -> int:
        """How many events must agree that our clock is behind."""
        return MIN_EVENTS if self.lead is None else ENOUGH_EVENTS

    def _is_above(self, lead: int) -> bool:
        return bool(self._slots) and lead > max(slot.lead for slot in self._slots) + TOGETHER

    def _keep(self, found: Lead) -> None:
        slots = self._slots
        if slots and found.at - slots[-1].at < _SLOT:
            if found.lead > slots[-1].lead:
                slots[-1] = Lead(slots[-1].at, found.lead)
        else:
            slots.append(found)
        while len(slots) > 1 and found.at - slots[0].at > _MEMORY:
            slots.popleft()

    def correction(self, stepped: int) -> int:
        """Nanoseconds, in whole seconds, to add to our wall clock; 0 if it is right as far as can be told.

        `stepped` is by how much that was set since this process began.
        """
        if self.lead is not None:
            ahead = self.lead - stepped
            if ahead >= SIGNIFICANT:
                return _whole_seconds(ahead)
            if ahead > -AGREES:
                return 0
        if self.told is not None:
            told = (self.told if self.lead is None else max(self.told, self.lead)) - stepped
            return _whole_seconds(told) if abs(told) >= AGREES else 0
        if self.lead is not None and self._timely:
            return _whole_seconds(self.lead - stepped)
        return 0


def _whole_seconds(nanoseconds: int) -> int:
    """Rounded up: an event is not later than its arrival."""
    return -(-nanoseconds // _SECOND) * _SECOND


class ProviderClocks:
    """The provider's clock by epoch and connection. A new connection of an epoch begins with what the last one told."""

    def __init__(self) -> None:
        self._clocks: dict[tuple[int, int], ProviderClock] = {}
        self._lock = threading.Lock()

    def of(self, epoch: int, connection: int) -> ProviderClock:
        """The clock of a connection."""
        clock = self._clocks.get((epoch, connection))
        if clock is not None:
            return clock
        with self._lock:
            clock = self._clocks.get((epoch, connection)) or ProviderClock()
            before = max((key for key in self._clocks if key[0] == epoch), default=None)
            if before is not None:
                last = self._clocks[before]
                clock.told = last.lead if last.is_certain else last.told
            self._clocks[epoch, connection] = clock
            if len(self._clocks) > _KEPT:
                self._clocks.pop(next(iter(self._clocks)))
        return clock
