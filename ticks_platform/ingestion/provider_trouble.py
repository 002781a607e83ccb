"""What is wrong between a feed and its provider, for people: why a connection ended, what the provider complains of."""

from __future__ import annotations

from ticks_platform.feeds.events import Acknowledged, NotEntitled, ProviderError, Refused, RequestRefused
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.feeds.transport.state import Change, State

TOLD_FOR = 120.0
"""Seconds for which a complaint is told while data arrive: longer than the interval between a run's reports."""


class ProviderTrouble:
    """The last trouble of a feed's connections. Changes come from several threads, one at a time."""

    def __init__(self) -> None:
        self._lost: str | None = None
        self._complaint: tuple[str, float] | None = None

    def record(self, change: Change) -> None:
        """Note what a change says."""
        if change.state is State.BACKING_OFF and change.notice is None:
            self._lost = change.detail
        elif change.state is State.STREAMING or isinstance(change.notice, Acknowledged):
            self._lost = None
        if isinstance(change.notice, NotEntitled | ProviderError | Refused | RequestRefused):
            self._complaint = (change.detail, boottime())

    @property
    def text(self) -> str | None:
        """What to tell now, if anything."""
        if self._lost is not None:
            return self._lost
        if self._complaint is not None and boottime() - self._complaint[1] < TOLD_FOR:
            return self._complaint[0]
        return None
