"""Puts received frames into the journal, whatever its disk does; what has no place in it is counted and said."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.events import Frame
from ticks_platform.ingestion.arrival_clock import ArrivalClock
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.journal.journal import (
    Journal,
    JournalDamagedError,
    JournalFullError,
    JournalUnavailableError,
)

logger = logging.getLogger(__name__)


class Appender:
    """Appends one feed's frames to its journal. Used by the receiving threads of its connections."""

    def __init__(
        self, feed: str, clock: ArrivalClock, coverage: Coverage, *, on_lost: Callable[[int, str], None]
    ) -> None:
        """`on_lost` is told the connection whose frames are lost, and why. `journal` must be set before the first."""
        self._feed = feed
        self._clock = clock
        self._coverage = coverage
        self._on_lost = on_lost
        self.journal: Journal
        self.trouble: str | None = None
        """Why the journal cannot be written, or None."""
        self._lost = 0
        self._lost_because = ""
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Try once more at most, from now on. Safe from any thread."""
        self._stopped.set()

    def append(self, frames: Sequence[Frame]) -> bool:
        """Append frames, retrying as long as it takes, while nothing is read. Returns whether to read on.

        After `stop`, what fails or has no room is lost, and reported. Raises what Journal raises if it is damaged, or
        another process's.
        """
        backoff = Backoff(base=0.2, cap=5.0)
        while True:
            last_try = self._stopped.is_set()
            try:
                self.journal.append(self._clock.with_correction(frames), epoch=self._clock.epoch)
            except JournalFullError as error:
                self._report_lost(frames[self._append_part(frames) :], str(error))
                return False
            except JournalUnavailableError as error:
                if self.trouble is None:
                    logger.warning("feed %s: %s; retrying", self._feed, error)
                self.trouble = (
                    f"cannot write the journal of feed '{self._feed}': {error}. Reading is paused until that "
                    "succeeds; if its disk is full, free space on it"
                )
                if last_try:
                    self._report_lost(frames, "the journal could not be written")
                    # The rest of the connection's frames may fit, if the disk has space again.
                    return True
                self._stopped.wait(backoff.next_delay())
                self._coverage.write_missing_notes()  # before the frames, which rely on them
            except JournalDamagedError:
                self._report_lost(frames, "the journal could not be written")
                raise
            else:
                if self.trouble is not None:
                    self.trouble = None
                    self._coverage.write_missing_notes()
                return True

    def raise_if_lost(self) -> None:
        """Raise JournalUnavailableError if received frames were lost."""
        if self._lost:
            raise JournalUnavailableError(
                f"feed '{self._feed}' was stopped while its journal had no place for what had arrived: {self._lost} "
                f"received frames are lost, and lie in a gap. {self.trouble or self._lost_because}"
            )

    def _append_part(self, frames: Sequence[Frame]) -> int:
        """Append as many of the first frames as have room, and return their number."""
        done, size = 0, len(frames) // 2
        while size:
            part = [frames[done]._replace(covered_until=frames[0].covered_until), *frames[done + 1 : done + size]]
            with contextlib.suppress(JournalUnavailableError):
                self.journal.append(self._clock.with_correction(part), epoch=self._clock.epoch)
                done += size
            size //= 2
        return done

    def _report_lost(self, frames: Sequence[Frame], why: str) -> None:
        with self._lock:
            self._lost += len(frames)
            self._lost_because = why
        detail = f"{len(frames)} received frames are lost: {why}"
        logger.error("feed %s: %s", self._feed, detail)
        self._on_lost(frames[0].connection, detail)
