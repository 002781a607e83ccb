"""The clocks of this machine: one for durations that nobody sets, and whether the wall clock still agrees with it."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, unlike Linux' CLOCK_MONOTONIC: clock_gettime(2). macOS has no such name; there
CLOCK_MONOTONIC goes on during sleep: clock_gettime(3)."""

_AWAKE = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)
"""Stands still while the machine sleeps: CLOCK_MONOTONIC on Linux, CLOCK_UPTIME_RAW on macOS."""

boottime_ns = partial(time.clock_gettime_ns, _BOOTTIME)
"""Nanoseconds since the machine was booted, with the time in which it slept. Never set."""

boottime = partial(time.clock_gettime, _BOOTTIME)
"""The same in seconds."""

TOLERANCE = 1_000_000_000
"""Nanoseconds by which two clocks may come apart between two looks without a doubt about the time."""

_FOLLOWED = 1_000_000
"""Nanoseconds by which the wall clock must have been set to be followed; less is the time between two readings."""

_READING = 10_000_000
"""Nanoseconds that a reading of all clocks may take; one that takes longer was interrupted, and is repeated."""

BEGIN = time.time_ns() - boottime_ns()
"""What the wall clock was ahead of `boottime_ns` when this process began, in nanoseconds."""


def steady_ns() -> int:
    """Nanoseconds since the Unix epoch by the wall clock as it was when this process began; it is never set.

    For durations, also over a sleep of the machine, within this process.
    """
    return boottime_ns() + BEGIN


def steady() -> float:
    """The same in seconds."""
    return (boottime_ns() + BEGIN) / 1e9


class Disagreement(NamedTuple):
    """The clocks came apart since the last look; the time between is doubtful. Times are in nanoseconds."""

    stepped: int
    """By how much the wall clock was set forward; negative if it was set back."""
    slept: int
    """How long the machine slept."""

    @property
    def cause(self) -> str:
        """What happened, as a cause of a gap: slept, or clock_stepped."""
        return "slept" if self.slept > TOLERANCE else "clock_stepped"

    def __str__(self) -> str:
        if self.slept > TOLERANCE:
            return f"this machine slept for {self.slept / 1e9:.1f} s"
        way = "back" if self.stepped < 0 else "forward"
        return f"this machine's clock was set {way} by {abs(self.stepped) / 1e9:.1f} s"


class ClockWatch:
    """Compares the clocks from time to time. For one thread."""

    def __init__(self) -> None:
        self.stepped, self._asleep = self._read()

    stepped: int
    """By how much the wall clock was set since this process began, as of the last look; in nanoseconds."""

    def now(self) -> int:
        """The wall clock, as of the last look, in nanoseconds since the Unix epoch."""
        return boottime_ns() + BEGIN + self.stepped

    def look(self) -> Disagreement | None:
        """Compare the clocks with the last look. None if they agree; a wall clock that was set a little is followed."""
        before, asleep_before = self.stepped, self._asleep
        stepped, asleep = self._read()
        found = Disagreement(stepped - before, asleep - asleep_before)
        self._asleep = asleep
        if abs(found.stepped) > _FOLLOWED:
            self.stepped = stepped
        return found if abs(found.stepped) > TOLERANCE or found.slept > TOLERANCE else None

    @staticmethod
    def _read() -> tuple[int, int]:
        while True:
            booted, wall, awake = boottime_ns(), time.time_ns(), time.clock_gettime_ns(_AWAKE)
            if boottime_ns() - booted < _READING:
                stepped = wall - booted - BEGIN
                return (stepped if abs(stepped) > _FOLLOWED else 0), booted - awake
