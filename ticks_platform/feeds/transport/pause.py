"""The time before which a provider wants no connection of a feed: what it tells one holds for all."""

from __future__ import annotations

import random
import threading

from ticks_platform.feeds.transport.clock import boottime

SPREAD = 0.5
"""Seconds over which the connections come after a pause, at random: at once, they would be told to wait again."""


class Pause:
    """Shared by the connections of a feed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds until its end, 0 if there is none."""
        return max(0.0, self._until - boottime())

    def extend(self, seconds: float) -> None:
        """Let it last this long from now, if it would end before."""
        with self._lock:
            self._until = max(self._until, boottime() + seconds)

    def wait(self, stop: threading.Event) -> None:
        """Wait until its end and a little longer, if there is one, or until `stop` is set."""
        while (left := self.left) > 0 and not stop.is_set():
            stop.wait(left + random.uniform(0.0, SPREAD))  # noqa: S311  (jitter, not cryptography)
