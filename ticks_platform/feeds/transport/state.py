"""The states of a connection, and which state may follow which."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from ticks_platform import masking
from ticks_platform.escaping import printable
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    ClockDoubt,
    HeardAgain,
    NotEntitled,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    Silent,
    Unsubscribed,
)
from ticks_platform.feeds.transport.clock import BEGIN, ClockWatch, boottime

logger = logging.getLogger(__name__)

TOLD_AGAIN_AFTER = 60.0
"""Seconds between two warnings that the provider cannot be reached: an outage has an attempt every other second."""

_NAMES_IN_A_LINE = 20
"""Symbols named in one log line; a subscription may have thousands."""


class State(enum.Enum):
    """The state of a connection."""

    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKING_OFF = "backing off"
    REFUSED = "refused"
    CLOSED = "closed"


_ENDS = frozenset((State.BACKING_OFF, State.REFUSED, State.CLOSED))

TRANSITIONS: dict[State, frozenset[State]] = {
    State.CLOSED: frozenset((State.CONNECTING, State.CLOSED)),
    State.CONNECTING: _ENDS | {State.CONNECTING, State.AUTHENTICATING, State.SUBSCRIBING},
    # Data may arrive before the last acknowledgement.
    State.AUTHENTICATING: _ENDS | {State.AUTHENTICATING, State.SUBSCRIBING, State.STREAMING},
    State.SUBSCRIBING: _ENDS | {State.SUBSCRIBING, State.STREAMING, State.STALLED},
    State.STREAMING: _ENDS | {State.STREAMING, State.SUBSCRIBING, State.STALLED},
    State.STALLED: _ENDS | {State.STALLED, State.STREAMING},
    State.BACKING_OFF: frozenset((State.CONNECTING, State.CLOSED)),
    State.REFUSED: frozenset(),
}
"""The states that may follow each state. A state that follows itself carries a notice."""


class Change(NamedTuple):
    """A change of a connection's state, or a notice in the same state."""

    state: State
    at: int
    """By the wall clock, in nanoseconds since the Unix epoch; so are the other times."""
    connection: int
    detail: str
    notice: Notice | None = None
    covered_until: int | None = None
    """Everything that was sent on this connection before this moment has been handed over; nanoseconds since the Unix
    epoch, or None if there is no such moment. Only data that arrives later proves it."""
    alive_until: int | None = None
    """The same, proved by answers to pings too: nothing was lost before it, though a mute provider may have sent
    nothing."""
    stepped: int = 0
    """Nanoseconds by which the wall clock was set since this process began. The last two times of a ClockDoubt are by
    the clock as it was before."""
    server_ahead: int | None = None
    """In the first change after the handshake: nanoseconds by which the provider's server is ahead of the clock that is
    never set, as its answer tells; or None."""


def check_transition(before: State, after: State) -> None:
    """Raises AssertionError for a change that TRANSITIONS does not allow: a bug in the transport."""
    if after not in TRANSITIONS[before]:
        raise AssertionError(f"a connection cannot go from {before.value} to {after.value}")


class StateTracker:
    """The current state of a feed's connections, one after the other; logs each change and calls `on_change`."""

    def __init__(self, on_change: Callable[[Change], None], *, feed: str = "") -> None:
        """`feed` is the feed's name, for the log."""
        self._on_change = on_change
        self._feed = feed
        self.connection = 0
        """Number of the current connection."""
        self.current = State.CLOSED
        self.watch = ClockWatch()
        self.accepted = False
        """Whether the provider accepted this client on the current connection: it authenticated it, confirmed a channel
        or sent data."""
        self.first_data_at: float | None = None
        """When the connection's first data arrived, in seconds since boot."""
        self.drained_at: int | None = None
        """The last moment at which all that had arrived was handed over, in nanoseconds since boot."""
        self.server_ahead: int | None = None
        """What the next change tells, as in Change."""
        self._covered_until: int | None = None
        self._alive_until: int | None = None
        self._told_at: float | None = None
        """When a warning said that the connection is backing off, in seconds since boot."""
        self._untold = 0
        """How often it has backed off since."""
        self._is_away = False
        """Whether it has not streamed since a warning that it is backing off."""

    def begin(self, connection: int) -> None:
        """Start a new connection."""
        self.connection = connection
        self.accepted = False
        self.first_data_at = self.drained_at = self._covered_until = self._alive_until = self.server_ahead = None

    def data_received(self) -> None:
        """Data arrived, so all that was sent before `drained_at` had arrived then."""
        self._covered_until = self._alive_until = self.drained_at
        self.accepted = True

    def answered(self) -> None:
        """A ping was answered, so the same holds; but this does not prove that the provider sends data."""
        self._alive_until = self.drained_at

    def look_at_clocks(self) -> None:
        """Report if the wall clock was set, or the machine slept, since the last look."""
        before = self.watch.stepped
        found = self.watch.look()
        if found is None:
            return
        if self.current in TRANSITIONS[self.current]:
            self._report(ClockDoubt(found.cause, str(found), before), stepped=before)
        else:
            logger.warning("feed=%s connection=%d %s", self._feed, self.connection, found)

    def change(self, state: State, detail: str, notice: Notice | None = None) -> None:
        """Change the state, or report a notice in the same one. Raises AssertionError if TRANSITIONS forbids it."""
        self.look_at_clocks()
        self._change(state, detail, notice, stepped=self.watch.stepped)

    def _change(self, state: State, detail: str, notice: Notice | None, *, stepped: int) -> None:
        check_transition(self.current, state)
        self.current = state
        # What a provider says ends up in the log, in tables and in the UI; a refusal may repeat the key.
        shown = masking.current().text
        detail, notice = printable(shown(detail)), notice and _masked(notice, shown)
        self._log(state, detail, notice)
        by_wall_clock = BEGIN + stepped
        covered, alive = (
            None if moment is None else moment + by_wall_clock for moment in (self._covered_until, self._alive_until)
        )
        server_ahead, self.server_ahead = self.server_ahead, None
        self._on_change(
            Change(
                state,
                self.watch.now(),
                self.connection,
                detail,
                notice,
                covered,
                alive,
                self.watch.stepped,
                server_ahead,
            )
        )

    def _log(self, state: State, detail: str, notice: Notice | None) -> None:
        level, more = logging.INFO, ""
        if state in (State.STALLED, State.REFUSED) or isinstance(
            notice, ChannelsFailed | ClockDoubt | ProviderError | Refused | RequestRefused | Silent
        ):
            level = logging.WARNING
        elif state is State.BACKING_OFF:
            now = boottime()
            if self._told_at is None or now - self._told_at >= TOLD_AGAIN_AFTER:
                level = logging.WARNING
                more = f" ({self._untold} more attempts have failed since this was said last)" if self._untold else ""
                self._told_at, self._untold, self._is_away = now, 0, True
            else:
                self._untold += 1
        elif state is State.STREAMING and self._is_away:
            level, more, self._is_away = logging.WARNING, " (connected again)", False
        logger.log(level, "feed=%s connection=%d %s: %s%s", self._feed, self.connection, state.value, detail, more)

    def report(self, notice: Notice) -> None:
        """Report a notice; the state stays."""
        self.look_at_clocks()
        self._report(notice, stepped=self.watch.stepped)

    def _report(self, notice: Notice, *, stepped: int) -> None:
        self._change(self.current, describe(notice), notice, stepped=stepped)


def describe(notice: Notice) -> str:
    """A notice as text for the log."""
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
            return f"provider error: {message}"
        case ClockDoubt(_, detail):
            return detail
        case Silent(seconds):
            return f"no data: {_enumerate([f'{channel} ({age:.0f} s)' for channel, age in seconds.items()])}"
        case HeardAgain(channels):
            return f"data again: {_enumerate(channels)}"
        case NotEntitled(reason):
            return f"channels refused: {reason}"
        case RequestRefused(reason):
            return f"subscription refused: {reason}"
        case _:
            return notice.reason


def _masked(notice: Notice, shown: Callable[[str], str]) -> Notice:
    """A notice whose texts are masked: names of channels, which an answer may make up, and reasons."""
    changes: dict[str, object] = {}
    for field in notice.__struct_fields__:
        value = getattr(notice, field)
        if isinstance(value, str):
            changes[field] = printable(shown(value))
        elif isinstance(value, tuple):
            changes[field] = tuple(map(shown, value))
        elif isinstance(value, dict):
            changes[field] = {
                shown(name): printable(shown(each)) if isinstance(each, str) else each for name, each in value.items()
            }
    return msgspec.structs.replace(notice, **changes) if changes else notice


def _enumerate(names: Collection[str]) -> str:
    more = len(names) - _NAMES_IN_A_LINE
    return ", ".join(list(names)[:_NAMES_IN_A_LINE]) + (f" and {more} more" if more > 0 else "")
