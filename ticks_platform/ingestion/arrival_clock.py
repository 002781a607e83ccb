"""The clock of one ingestion: this machine's wall clock, corrected by what its connections tell of the provider's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.events import ClockDoubt, Frame, Notice
from ticks_platform.feeds.transport.arrivals import Arrivals
from ticks_platform.feeds.transport.clock import ClockWatch, steady, steady_ns
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State, describe
from ticks_platform.ingestion.database_clock import DatabaseClock
from ticks_platform.ingestion.provider_clock import AGREES, ProviderClocks, Verdict

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

SAID_FOR = 600.0
"""Seconds for which a clock that was set, or a sleep, is said."""

_MOVED = 1_000_000_000
"""Nanoseconds. Less is the time that the database's answer takes."""

REMEDY = "Let it be set by NTP (timedatectl set-ntp true, or chronyc makestep)"


class ClockState(NamedTuple):
    """What is known of the clock on one connection."""

    connection: int
    correction: float
    """Seconds that are added to arrivals, since the clock is wrong; negative if it is ahead."""
    doubt: str
    """What was last seen to happen to the clock, or nothing."""


class ArrivalClock:
    """Gives the times of one ingestion's changes and arrivals. Safe from any thread."""

    def __init__(self, feed: str, silence: SilenceDetector) -> None:
        self.provider = ProviderClocks()
        self.on_learned: Callable[[], None] = lambda: None
        """Called when more is known of the clock, in the thread that knows it."""
        self.epoch = 0
        """The epoch of the ingestion; set it before frames are received."""
        self._feed = feed
        self._silence = silence
        self._lock = threading.Lock()
        self._stepped: dict[int, int] = {}
        # By open connection: by how much the wall clock was set, as of its last change.
        self._corrections: dict[int, int] = {}
        # The process may have begun before the clock was set.
        silence.ahead = ClockWatch().stepped / 1e9
        self._database_clock = DatabaseClock()
        self._database_ahead: int | None = None
        self._doubt = ""
        self._doubted_at = float("-inf")
        self.told: str | None = None
        """The trouble that the database has."""
        self.telling: str | None = None
        """The trouble that it gets with the current transaction."""
        self.doubts = 0
        """How often the clock was set, or the machine slept; each connection counts."""

    def learned(self) -> None:
        """Events were decoded."""
        self.on_learned()

    def ask_database(self, cursor: Cursor) -> None:
        """Ask the clock of the database's server, if it is time to."""
        ahead = self._database_clock.ask(cursor)
        if ahead is None:
            return
        before = self._database_ahead
        if before is None or abs(ahead - before) >= _MOVED:
            self._database_ahead = ahead
            self.provider.set_database(self.epoch, ahead)
            self.on_learned()

    def now(self) -> int:
        """The right time as far as is known, in nanoseconds since the Unix epoch."""
        return steady_ns() + round(self._silence.ahead * 1e9)

    def notice(self, state: State, connection: int, notice: Notice) -> Change:
        """A change that is to be handled like those of the connection, now."""
        watch = ClockWatch()
        return Change(state, watch.now(), connection, describe(notice), notice, stepped=watch.stepped)

    def correction(self, connection: int, stepped: int) -> int:
        """Nanoseconds to add to an arrival on this connection by a wall clock that was set by `stepped`."""
        return self._verdict(connection, stepped).correction

    def _verdict(self, connection: int, stepped: int) -> Verdict:
        return self.provider.of(self.epoch, connection).judge(stepped)

    def with_correction(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Frames that arrived together, with the correction of their arrivals.

        Not with one that `follow` has not told yet: whoever reads corrected frames relies on the notes that coverage
        was moved. No lock: `follow` holds it while notes are written.
        """
        number, stepped = frames[0].connection, frames[0].stepped
        followed = self._stepped.get(number) == stepped
        correction = self._corrections.get(number, 0) if followed else self.correction(number, stepped)
        return replace(Arrivals.of(frames), correction=correction) if correction else frames

    def corrected(self, change: Change) -> Change:
        """A change with the right times. Call `follow` before it."""
        with self._lock:
            number = change.connection
            before = self._corrections.get(number, 0)
            after = self.correction(number, change.stepped)
            if isinstance(change.notice, ClockDoubt):
                self._doubt, self._doubted_at = change.notice.detail, steady()
                self.doubts += 1
                if not self._was_confirmed(number, change.stepped):
                    # What was covered by a clock that nobody confirmed may be any other time: rather a gap too long.
                    change = change._replace(covered_until=None, alive_until=None)
            self._follow(number, change.stepped, after)
            if change.state in (State.BACKING_OFF, State.REFUSED, State.CLOSED):
                self._stepped.pop(number, None)
                self._corrections.pop(number, None)
            if not before and not after:
                return change
            if not isinstance(change.notice, ClockDoubt):
                before = after
            return change._replace(
                at=change.at + after,
                covered_until=None if change.covered_until is None else change.covered_until + before,
                alive_until=None if change.alive_until is None else change.alive_until + before,
            )

    def _was_confirmed(self, number: int, stepped: int) -> bool:
        """Whether the wall clock as it was before it was set is known to be right or wrong; also if it was not set."""
        before = self._stepped.get(number, stepped)
        return before == stepped or bool(self.provider.of(self.epoch, number).judge(before).by)

    def follow(self, move: Callable[[int, int], None], change: Change | None = None) -> None:
        """Call `move` with each open connection whose times turned out to be wrong, and by how many nanoseconds.

        They were wrong since the connection began, or since its last ClockDoubt. `change` is one that is about to be
        corrected.
        """
        if change is not None and change.server_ahead is not None:
            self.provider.of(self.epoch, change.connection).dated = change.server_ahead
        with self._lock:
            for number, stepped in list(self._stepped.items()):
                if change is not None and change.connection == number and change.stepped != stepped:
                    continue  # a ClockDoubt: earlier times stay as they are
                after, before = self.correction(number, stepped), self._corrections.get(number, 0)
                if after != before:
                    move(number, after - before)
                    self._follow(number, stepped, after)

    def _follow(self, number: int, stepped: int, correction: int) -> None:
        if correction != self._corrections.get(number, 0):
            said = _describe(self._verdict(number, stepped))
            logger.warning("feed=%s connection=%d %s", self._feed, number, said)
        self._stepped[number], self._corrections[number] = stepped, correction
        self._silence.ahead = (stepped + correction) / 1e9

    def states(self) -> list[ClockState]:
        """What is known of the clock on each open connection."""
        with self._lock:
            doubt = self._recent_doubt()
            return [ClockState(number, each / 1e9, doubt) for number, each in sorted(self._corrections.items())]

    def _recent_doubt(self) -> str:
        return self._doubt if steady() - self._doubted_at < SAID_FOR else ""

    def has_news(self) -> bool:
        """Whether the database has to be told something else; `telling` is what."""
        self.telling = self.trouble
        return self.telling != self.told

    @property
    def trouble(self) -> str | None:
        """What is wrong with a clock, and what to do; None if all are right as far as can be told."""
        with self._lock:
            stepped_of = dict(self._stepped)
        doubt = self._recent_doubt()
        verdicts = {number: self._verdict(number, stepped) for number, stepped in sorted(stepped_of.items())}
        said = [
            f"on connection {number}, {_describe(verdict)}"
            for number, verdict in verdicts.items()
            if verdict.correction
        ]
        if doubt:
            said.append(f"{doubt}: a gap is written for the time in doubt")
        if said:
            said[-1] += f". {REMEDY}"
        said.extend(self._database_trouble())
        return f"feed '{self._feed}': {'; '.join(said)}" if said else None

    def _database_trouble(self) -> Iterator[str]:
        """What is wrong with the clock of the database's server."""
        if self._database_ahead is None:
            return
        ahead = self._database_ahead - (self.now() - steady_ns())
        if abs(ahead) >= AGREES:
            way = "ahead of" if ahead > 0 else "behind"
            yield (
                f"the clock of the database's server is {abs(ahead) / 1e9:.0f} s {way} the time that this feed "
                "goes by. Refreshes, retention and the ages of ticks follow that clock: let it be set by NTP too"
            )


def _describe(verdict: Verdict) -> str:
    correction = verdict.correction
    if not correction:
        return "this machine's clock agrees with the provider's again"
    way = "behind" if correction > 0 else "ahead of"
    return (
        f"this machine's clock is {abs(correction) / 1e9:.0f} s {way} the provider's, as "
        f"{_enumerated([each.value for each in verdict.by])} tell: received_at is corrected by that, and "
        "received_at_raw has the clock as it is"
    )


def _enumerated(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)
