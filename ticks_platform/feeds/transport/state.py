"""The life of a connection as explicit states: which there are, and which may follow which."""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    HeardAgain,
    NotEntitled,
    Notice,
    ProviderError,
    Silent,
    Unsubscribed,
)

logger = logging.getLogger(__name__)

_NAMES_IN_A_LINE = 20
"""Symbols that one line of log names; a subscription may have thousands."""


class State(enum.Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKING_OFF = "backing off"
    REFUSED = "refused"
    CLOSED = "closed"


_ENDS = frozenset((State.BACKING_OFF, State.REFUSED, State.CLOSED))

STEPS: dict[State, frozenset[State]] = {
    State.CLOSED: frozenset((State.CONNECTING, State.CLOSED)),
    State.CONNECTING: _ENDS | {State.AUTHENTICATING, State.SUBSCRIBING},
    # Data may come before the last answer does.
    State.AUTHENTICATING: _ENDS | {State.AUTHENTICATING, State.SUBSCRIBING, State.STREAMING},
    State.SUBSCRIBING: _ENDS | {State.SUBSCRIBING, State.STREAMING, State.STALLED},
    State.STREAMING: _ENDS | {State.STREAMING, State.SUBSCRIBING, State.STALLED},
    State.STALLED: _ENDS | {State.STALLED, State.STREAMING},
    State.BACKING_OFF: frozenset((State.CONNECTING, State.CLOSED)),
    State.REFUSED: frozenset(),
}
"""What may follow each state. A state that follows itself carries a notice."""


class Change(NamedTuple):
    """A step in a connection's life, or a notice from the provider while it lives."""

    state: State
    at: int
    """Nanoseconds since the Unix epoch."""
    connection: int
    detail: str
    notice: Notice | None = None
    covered_until: int | None = None
    """Up to when everything that was sent on this connection has surely been handed over, in nanoseconds since the Unix
    epoch; None where that cannot be said of any moment. Only data proves it: what is lost is lost after that."""


def check_step(before: State, after: State) -> None:
    """Raises AssertionError for a step that the table does not have: a bug in the transport."""
    if after not in STEPS[before]:
        raise AssertionError(f"a connection cannot go from {before.value} to {after.value}")


class StateTracker:
    """The life of a feed's connections, one after the other: where it is, and who is told of each step."""

    def __init__(self, on_change: Callable[[Change], None]) -> None:
        self._on_change = on_change
        self.connection = 0
        """Number of the connection that it is about."""
        self.current = State.CLOSED
        self.first_data: float | None = None
        """When the connection brought its first data, on the monotonic clock."""
        self.quiet_at: int | None = None
        """A moment at which everything that had arrived was handed over, in nanoseconds since the Unix epoch."""
        self._covered_until: int | None = None

    def begin(self, connection: int) -> None:
        """Go on with a new connection."""
        self.connection = connection
        self.first_data = self.quiet_at = self._covered_until = None

    def brought_data(self) -> None:
        """Take note of data: whatever was sent before the last quiet moment has arrived."""
        self._covered_until = self.quiet_at

    def change(self, state: State, detail: str, notice: Notice | None = None) -> None:
        """Take a step, and tell of it. Raises AssertionError for one that there cannot be."""
        check_step(self.current, state)
        self.current = state
        level = logging.WARNING if state in (State.STALLED, State.BACKING_OFF, State.REFUSED) else logging.INFO
        if isinstance(notice, ChannelsFailed | ProviderError | Silent):
            level = logging.WARNING
        logger.log(level, "connection %d %s: %s", self.connection, state.value, detail)
        self._on_change(Change(state, time.time_ns(), self.connection, detail, notice, self._covered_until))

    def remark(self, notice: Notice) -> None:
        """Tell of a notice; the state stays."""
        self.change(self.current, tell(notice), notice)


def tell(notice: Notice) -> str:
    """A notice in words."""
    match notice:
        case Authenticated():
            return "authenticated"
        case Acknowledged(channels):
            return f"subscribed to {_enumerate(channels)}"
        case Unsubscribed(channels):
            return f"unsubscribed from {_enumerate(channels)}"
        case ChannelsFailed(reasons):
            return f"not subscribed to {_enumerate([f'{channel} ({why})' for channel, why in reasons.items()])}"
        case ProviderError(message):
            return f"the provider says: {message}"
        case Silent(seconds):
            return f"silent: {_enumerate([f'{symbol} ({gone:.0f} s)' for symbol, gone in seconds.items()])}"
        case HeardAgain(channels):
            return f"heard again: {_enumerate(channels)}"
        case NotEntitled(reason):
            return f"the provider says: {reason}"
        case _:
            return notice.reason


def _enumerate(names: Collection[str]) -> str:
    more = len(names) - _NAMES_IN_A_LINE
    return ", ".join(list(names)[:_NAMES_IN_A_LINE]) + (f" and {more} more" if more > 0 else "")
