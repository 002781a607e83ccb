"""The clock of one ingestion: what a connection covered by a clock that turned out to be wrong."""

from __future__ import annotations

from ticks_platform.feeds.events import ClockDoubt, Frame
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


def test_frames_are_corrected_once_coverage_was_moved() -> None:
    """Whoever finds corrected frames of a killed owner finds its notes of that."""
    clock = ArrivalClock("test", SilenceDetector({}, patience=60.0))
    frames = [Frame(b"", 100 * SECOND, 1)]
    opened = Change(State.CONNECTING, 100 * SECOND, 1, "")
    clock.corrected(opened)
    clock.provider.of(0, 1).dated = -1200 * SECOND
    during: list[int] = []
    clock.follow(lambda _connection, _by: during.append(clock.with_correction(frames)[0].correction))
    assert during == [0]
    assert clock.with_correction(frames)[0].correction == -1200 * SECOND
    # The clock was set since; that it was is told after these frames.
    assert clock.with_correction([Frame(b"", 100 * SECOND, 1, stepped=-1200 * SECOND)])[0].correction == 0
