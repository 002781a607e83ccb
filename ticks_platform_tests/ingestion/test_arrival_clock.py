"""The clock of one ingestion: what a connection covered by a clock that turned out to be wrong."""

from __future__ import annotations

from ticks_platform.feeds.events import ClockDoubt
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.arrival_clock import ArrivalClock

SECOND = 1_000_000_000


def test_coverage_by_a_clock_that_nobody_confirmed_is_not_kept() -> None:
    """A clock was 40 s ahead before the first events: what it covered would hide a gap 40 s later."""
    clock = ArrivalClock("test", SilenceDetector({}, patience=60.0))
    doubt = ClockDoubt("clock_stepped", "set back", 40 * SECOND)

    def change(stepped: int, notice: ClockDoubt | None = None) -> Change:
        return Change(State.STREAMING, 100 * SECOND, 1, "", notice, 90 * SECOND, 90 * SECOND, stepped)

    assert clock.corrected(change(40 * SECOND)).covered_until == 90 * SECOND
    assert clock.corrected(change(0, doubt)).covered_until is None
    assert clock.corrected(change(0)).covered_until == 90 * SECOND
