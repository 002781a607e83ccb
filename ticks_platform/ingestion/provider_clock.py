"""Finds how wrong this machine's clock is, by what others tell: witnesses, each of which may be wrong itself.

The event times. An event is stamped before it arrives, so by a right clock its lead (event time minus arrival) is at
most zero. How much it is below zero is the lag, which is small for some events and may be large for any. So the largest
leads tell the provider's clock, and the other ones nothing: old events, late trades, a feed that is delayed or replays
an earlier day do not look like a wrong clock. Alone, events prove only that a clock is behind.
The Date header of the provider's answer to the handshake. It tells both ways.
The clock of the database's server, where that is another machine. It tells both ways.

Two that agree are believed: Date and database; or one of the three clocks, ours first, by which events are in time.
Where no two agree: the Date, unless events are later than it; otherwise events that are ahead of our clock. The
database alone moves nothing: one that agrees with us may have our own clock, in another container of this machine.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

SIGNIFICANT = 2_000_000_000
"""Nanoseconds by which a clock must be behind to be corrected. Some providers stamp whole seconds."""

AGREES = 5_000_000_000
"""Nanoseconds of lag, or between two clocks, that are no sign of a wrong one."""

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

_EXACTLY = 10_000_000
"""Nanoseconds. By how much a clock was set is read within microseconds, and a replay has to find the same."""


class Lead(NamedTuple):
    """What one event tells."""

    at: int
    """Its arrival by a clock that is never set, in nanoseconds."""
    lead: int
    """Its time minus its arrival, by that clock, in nanoseconds."""


class Witness(enum.Enum):
    """Who tells what our clock should be."""

    EVENTS = "the event times"
    DATE = "the Date of its server's answers"
    DATABASE = "the clock of the database's server"
    EARLIER = "what was known before"


class Confirmed(NamedTuple):
    """The right time as it was last confirmed, in nanoseconds."""

    stepped: int
    """By how much our wall clock was set then."""
    ahead: int
    """By how much the right time was ahead of the clock that is never set."""


class Verdict(NamedTuple):
    """What our clock should be."""

    ahead: int
    """Nanoseconds by which the right time is ahead of our wall clock."""
    by: tuple[Witness, ...] = ()
    """Who says so; nobody, if nothing is known."""
    exactly: int | None = None
    """The same where it follows from a time that was confirmed, and by how much the clock was set since."""

    @property
    def correction(self) -> int:
        """Nanoseconds to add to our wall clock; 0 if it is right as far as can be told."""
        by_events = Witness.EVENTS in self.by
        if abs(self.ahead) < (SIGNIFICANT if by_events and self.ahead > 0 else AGREES):
            return 0
        if self.exactly is not None:
            return round(self.exactly / _EXACTLY) * _EXACTLY
        # Rounded up: an event is not later than its arrival. The other clocks are no more exact than a second.
        return -(-self.ahead // _SECOND) * _SECOND if by_events else round(self.ahead / _SECOND) * _SECOND


class ProviderClock:
    """The provider's clock as one connection tells it. All is against a clock that is never set, in nanoseconds.

    For one writing thread, but for `dated` and `database`; any thread may read.
    """

    def __init__(self) -> None:
        self._window: deque[int] = deque(maxlen=_WINDOW)
        self._slots: deque[Lead] = deque()
        # The lead at which events were in time by another clock: what is less is lag from then on.
        self._timely: int | None = None
        self.confirmed: Confirmed | None = None
        """What can be relied on for another connection, and once the clock is set: by how much is known exactly, while
        how late events are is not.
        """
        self.lead: int | None = None
        """By how much the provider's clock is ahead, as its events tell; None if there are too few."""
        # The same, of so few that they only confirm another clock, or contradict it.
        self._first: int | None = None
        self.told: int | None = None
        """The same as told before the first events: by an earlier connection, or by a journal; exact."""
        self.dated: int | None = None
        """The same as told by the Date of the handshake's answer."""
        self.database: int | None = None
        """By how much the clock of the database's server is ahead, if that is another machine."""

    def observe(self, leads: Sequence[Lead], *, stepped: int) -> None:
        """Take events into account, in the order of their arrival; `stepped` as in `judge`."""
        self._window.extend(each.lead for each in leads)
        if len(self._window) < MIN_EVENTS:
            self._first = max(self._window, default=None)
            return
        last = list(self._window)[-ENOUGH_EVENTS:]
        if len(last) == ENOUGH_EVENTS and max(last) - min(last) < TOGETHER and self._is_above(min(last)):
            # The provider's clock cannot jump; ours has, while this machine stood still.
            self._window = deque(last, maxlen=_WINDOW)
            self._timely = self.told = self.dated = self.confirmed = None
        largest = sorted(self._window, reverse=True)
        self._keep(Lead(leads[-1].at, largest[max(MIN_EVENTS - 1, len(largest) // _SHARE)]))
        largest_lead = max(slot.lead for slot in self._slots)
        if self.lead is None or not 0 <= self.lead - largest_lead < SIGNIFICANT:
            self.lead = largest_lead
        if any(_in_time(self.lead, each) for each in (stepped, self.dated, self.database, self._timely)):
            self._timely = self.lead
        verdict = self.judge(stepped)
        # One that was in time by itself is exact; one that was corrected, by as much as events came late, is not.
        is_estimate = self.confirmed is not None and self.confirmed.ahead != self.confirmed.stepped
        is_better = verdict.exactly is None or (is_estimate and not verdict.correction)
        if is_better and (Witness.EVENTS in verdict.by or len(verdict.by) > 1):
            self.confirmed = Confirmed(stepped, stepped + verdict.correction)

    @property
    def has_witness(self) -> bool:
        """Whether another clock than the events' tells of this one."""
        return self.dated is not None or self.database is not None

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

    def judge(self, stepped: int) -> Verdict:
        """What our wall clock should be, which was set by `stepped` since this process began."""
        found, by = self._weigh(stepped)
        known, exactly = self.confirmed, None
        if by == (Witness.EARLIER,):
            exactly = found - stepped
        elif known is not None and known.stepped != stepped and _in_time(found, known.ahead):
            exactly = known.ahead - stepped
        return Verdict(found - stepped, by, exactly)

    def correction(self, stepped: int) -> int:
        """Nanoseconds to add to our wall clock; 0 if it is right as far as can be told."""
        return self.judge(stepped).correction

    def _weigh(self, ours: int) -> tuple[int, tuple[Witness, ...]]:
        lead, date, database = self._first if self.lead is None else self.lead, self.dated, self.database
        if date is not None and database is not None and abs(date - database) < AGREES:
            if lead is not None and _in_time(lead, database):
                return lead, (Witness.EVENTS, Witness.DATE, Witness.DATABASE)
            return database, (Witness.DATE, Witness.DATABASE)
        if lead is not None:
            for clock, agreeing in ((ours, ()), (date, (Witness.DATE,)), (database, (Witness.DATABASE,))):
                if _in_time(lead, clock):
                    return lead, (Witness.EVENTS, *agreeing)
        if self._timely is not None and not _is_later(lead, self._timely):
            return self._timely, (Witness.EVENTS,)
        if self.told is not None and not _is_later(lead, self.told):
            return self.told, (Witness.EARLIER,)
        if date is not None and not _is_later(lead, date):
            return date, (Witness.DATE,)
        if self.lead is not None and _is_later(lead, ours):
            return self.lead, (Witness.EVENTS,)
        return ours, ()


def _in_time(lead: int, clock: int | None) -> bool:
    """Whether events with this lead are in time by a clock that is so much ahead."""
    return clock is not None and -AGREES < lead - clock < SIGNIFICANT


def _is_later(lead: int | None, clock: int) -> bool:
    """Whether events with this lead are from the future by a clock that is so much ahead."""
    return lead is not None and lead - clock >= SIGNIFICANT


class ProviderClocks:
    """The provider's clock by epoch and connection. A new connection of an epoch begins with what the last one told."""

    def __init__(self) -> None:
        self._clocks: dict[tuple[int, int], ProviderClock] = {}
        self._databases: dict[int, int] = {}
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
                clock.dated, clock.confirmed = last.dated, last.confirmed
                clock.told = last.told if last.confirmed is None else last.confirmed.ahead
            clock.database = self._databases.get(epoch)
            self._clocks[epoch, connection] = clock
            if len(self._clocks) > _KEPT:
                self._clocks.pop(next(iter(self._clocks)))
        return clock

    def set_database(self, epoch: int, ahead: int) -> None:
        """The clock of the database's server is so much ahead of that of the owner with this epoch."""
        with self._lock:
            self._databases[epoch] = ahead
            for key, clock in self._clocks.items():
                if key[0] == epoch:
                    clock.database = ahead
