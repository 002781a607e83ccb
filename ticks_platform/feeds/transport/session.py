"""The session on one open connection. `reconnect` opens connections and reads them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from ticks_platform.feeds.connector import Connector, Conversation, Reaction
from ticks_platform.feeds.errors import ConnectionLostError, FeedRefusedError, LocalCloseError, TryLaterError
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    HeardAgain,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    Silent,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.transport.clock import boottime, steady
from ticks_platform.feeds.transport.silence import Escalation, SilenceDetector
from ticks_platform.feeds.transport.state import State, StateTracker
from ticks_platform.feeds.transport.subscriptions import RateLimit, Subscriptions
from ticks_platform.feeds.transport.websocket import WebSocketConnection

PING_INTERVAL = 15.0
"""Seconds between pings; the official twelvedata-python client's interval."""

PONG_TIMEOUT = 10.0
"""Seconds after a ping without a pong or any other frame, after which the peer is presumed dead."""

AUTHENTICATE_TIMEOUT = 10.0
"""Seconds for the provider to authenticate this client."""

SUBSCRIBE_TIMEOUT = 10.0
"""Seconds to send a subscription, which may be long and the network slow."""

MAX_DECODE_LAG = 30.0
"""Seconds that a frame may wait to be decoded. Until then, silence is measured up to the last decoded frame."""

POLL_INTERVAL = 0.1
"""Seconds that a read waits before timers are checked."""

_SILENCE_CHECK_INTERVAL = 1.0
"""Seconds between checks for silent symbols."""


class Session:
    """Authentication, subscriptions, keep-alive and silence on one open connection."""

    def __init__(
        self,
        websocket: WebSocketConnection,
        conversation: Conversation,
        *,
        connector: Connector,
        state: StateTracker,
        escalation: Escalation | None,
        symbols: Callable[[], tuple[str, ...]],
    ) -> None:
        """`escalation` acts on silence, if given; `symbols` returns the currently desired symbols.

        Raises ConnectionLostError if the connection is lost already.
        """
        self._websocket = websocket
        self._conversation = conversation
        self._connector = connector
        self._state = state
        self._escalation = escalation
        self._get_symbols = symbols
        websocket.set_timeout(POLL_INTERVAL)
        self._subscriptions = Subscriptions(conversation)
        self._limit = RateLimit(self._connector.messages_per_minute)
        for _ in conversation.opening():
            self._limit.sent(boottime())
        self.keep_alive = _KeepAlive(conversation)
        self._has_raised = False
        self._answers: list[Acknowledged | Unsubscribed] = []
        self._symbols: tuple[str, ...] | None = None
        self._subscribed_at: dict[str, float] = {}
        self._last_data_at = steady()
        self._next_silence_check = boottime() + _SILENCE_CHECK_INTERVAL
        self._authenticated = not conversation.authenticates
        self._authenticated_by = boottime() + AUTHENTICATE_TIMEOUT
        if self._authenticated:
            self._subscribe()
        else:
            self._state.change(State.AUTHENTICATING, "key sent")

    def housekeeping_due(self) -> bool:
        """Whether a timer has expired, as of the last frame."""
        now = self.keep_alive.last_frame_at
        return self.keep_alive.due() or now >= min(self._next_silence_check, self._subscriptions.next_deadline())

    def handle_frame(self, data: bytes) -> None:
        """Handle a frame. Raises FeedRefusedError or TryLaterError if the provider refuses this client in it."""
        has_data, notices, replies = self._react(data)
        if has_data:
            self.data_received()
        for message in replies:
            self._send(message)
        for notice in notices:
            self._handle_notice(notice)

    def data_received(self) -> None:
        """Data arrived."""
        self.report_answers()
        self._last_data_at = steady()
        self._state.data_received()
        if self._state.current is not State.STREAMING:
            self._state.change(State.STREAMING, "first data" if self._state.first_data_at is None else "data again")
        if self._state.first_data_at is None:
            self._state.first_data_at = boottime()

    def to_read(self, frames: Sequence[bytes]) -> Sequence[int]:
        """The places of the frames that need `handle_frame`, in order; the others are data and nothing else."""
        try:
            places = set(self._conversation.to_read(frames))
        except Exception as error:  # noqa: BLE001  (a connector's bug must not stop its feed)
            self._report_bug(error)
            return range(len(frames))
        # In order, and of these frames, whatever a connector says.
        return [place for place in range(len(frames)) if place in places] if places else ()

    def _react(self, data: bytes) -> Reaction:
        try:
            return self._conversation.receive(data)
        except Exception as error:  # noqa: BLE001  (a connector's bug must not stop its feed)
            self._report_bug(error)
            return Reaction()

    def _report_bug(self, error: Exception) -> None:
        if not self._has_raised:
            self._has_raised = True
            self._state.report(ProviderError(f"the connector raised {type(error).__name__}: {error}"))

    def _handle_notice(self, notice: Notice) -> None:
        if isinstance(notice, Refused):
            raise FeedRefusedError(notice.reason)
        if isinstance(notice, TryLater):
            raise TryLaterError(notice.reason, notice.seconds)
        if isinstance(notice, Authenticated | Acknowledged):
            self._state.accepted = True
        if isinstance(notice, Authenticated):
            if not self._authenticated:
                self._authenticated = True
                self._subscribe()
            return
        self._subscriptions.handle_answer(notice)
        if isinstance(notice, Acknowledged | Unsubscribed):
            # One log line for all that arrive together: some providers confirm thousands of channels one by one.
            if self._answers and type(self._answers[-1]) is not type(notice):
                self.report_answers()
            self._answers.append(notice)
        else:
            self._state.report(notice)
        if isinstance(notice, RequestRefused):
            # Not with the next housekeeping: it may take many requests to find what the provider accepts.
            self._send_subscriptions(boottime())

    def report_answers(self) -> None:
        """Report the acknowledgements since the last report."""
        if not self._answers:
            return
        answers, self._answers = self._answers, []
        notice = type(answers[0])(tuple(channel for answer in answers for channel in answer.channels))
        self._state.report(notice)

    def do_housekeeping(self) -> None:
        """Send due messages and check for silence. Raises ConnectionLostError if the peer seems dead."""
        now = boottime()
        self.keep_alive.send_due(self._websocket)
        if not self._authenticated:
            if now >= self._authenticated_by:
                raise ConnectionLostError(f"not authenticated within {AUTHENTICATE_TIMEOUT:g} s")
            return
        unanswered = self._subscriptions.expire(now)
        if unanswered is not None:
            self._state.report(unanswered)
        if self._symbols is not self._get_symbols():
            self._update_channels()
        self._send_subscriptions(now)
        if now >= self._next_silence_check:
            self._next_silence_check = now + _SILENCE_CHECK_INTERVAL
            self._check_silence()

    def _subscribe(self) -> None:
        self._state.change(State.SUBSCRIBING, f"subscribing to {len(self._get_symbols())} symbols")
        self._update_channels()
        self._send_subscriptions(boottime())

    def _update_channels(self) -> None:
        self._symbols = self._get_symbols()
        now = steady()
        self._subscribed_at = {symbol: self._subscribed_at.get(symbol, now) for symbol in self._symbols}
        self._subscriptions.set_desired(
            channel for symbol in self._symbols for channel in self._connector.channels(symbol)
        )

    def _send_subscriptions(self, now: float) -> None:
        messages = self._subscriptions.due_messages(now, room=self._limit.room(now))
        if messages:
            self._websocket.set_timeout(SUBSCRIBE_TIMEOUT)
            for message in messages:
                self._send(message)
            self._websocket.set_timeout(POLL_INTERVAL)

    def _send(self, message: str) -> None:
        self._websocket.send(message)
        self._limit.sent(boottime())

    def _check_silence(self) -> None:
        """Check up to the last decoded frame: symbols in frames that wait to be decoded are not silent."""
        escalation = self._escalation
        if escalation is None:
            return
        silence = escalation.silence
        now = steady()
        names = {self._connector.symbol_of(symbol): symbol for symbol in self._symbols or ()}
        traded = [name for name, symbol in names.items() if not self._is_halted(silence, name, symbol)]
        self._check_stall(silence, traded, now)
        if self._last_data_at > silence.decoded_until and now - self._last_data_at < MAX_DECODE_LAG:
            now = silence.decoded_until

        def channels(name: str) -> tuple[str, ...]:
            # A symbol that was just removed may be reported once more.
            return self._connector.channels(names.get(name, name))

        steps = escalation.check({name: self._subscribed_at[symbol] for name, symbol in names.items()}, now)
        if steps.heard_again:
            heard_by = {name: silence.heard_by(name) for name in steps.heard_again}
            notice: Notice = HeardAgain(
                tuple(itertools.chain.from_iterable(map(channels, steps.heard_again))),
                {channel: at for name, at in heard_by.items() for channel in channels(name)},
            )
            self._state.report(notice)
        if steps.newly_silent:
            notice = Silent(
                {channel: age for name, age in steps.newly_silent.items() for channel in channels(name)},
                {channel: silence.heard_after(name) for name in steps.newly_silent for channel in channels(name)},
            )
            self._state.report(notice)
            self._subscriptions.resubscribe(notice.seconds)
        if steps.unhealthy:
            names_ = ", ".join(sorted(steps.unhealthy)[:10])
            self._state.change(
                self._state.current, f"unhealthy: {names_} still without data after resubscribing and reconnecting"
            )
        if steps.reconnect:
            self._state.change(State.STALLED, steps.reconnect)
            raise LocalCloseError(steps.reconnect)

    def _is_halted(self, silence: SilenceDetector, name: str, symbol: str) -> bool:
        return silence.is_halted(name, since=self._subscribed_at[symbol])

    def _check_stall(self, silence: SilenceDetector, symbols: Iterable[str], now: float) -> None:
        """If no symbol has data while a market is open: resubscribe, then reconnect."""
        # The markets of this connection's symbols may be closed while those of other connections are open.
        opened, any_opened = silence.open_since(symbols, now), silence.any_open_since(now)
        silent_for = 0.0 if opened is None or any_opened is None else now - max(self._last_data_at, opened, any_opened)
        if silent_for > 1.5 * silence.patience and self._state.current is State.STALLED:
            raise ConnectionLostError(f"no data for {silent_for:.0f} s, also after resubscribing")
        if silent_for > silence.patience and self._state.current is not State.STALLED:
            self._state.change(State.STALLED, f"no data for {silent_for:.0f} s; resubscribing")
            self._subscriptions.resubscribe(self._subscriptions.acknowledged)


class _KeepAlive:
    """Timers of pings and heartbeats on one connection. Times are seconds since boot: a sleep of the machine counts."""

    def __init__(self, conversation: Conversation) -> None:
        now = boottime()
        self._conversation = conversation
        self.last_frame_at = now
        """When the last frame arrived; reading this costs no system call."""
        self._next_ping_at = now + PING_INTERVAL
        self._unanswered_ping_at: float | None = None
        self._next_heartbeat_at = now + (conversation.heartbeat_interval or float("inf"))

    def frame_received(self) -> None:
        self.last_frame_at = boottime()

    def due(self) -> bool:
        return self.last_frame_at >= min(self._next_ping_at, self._next_heartbeat_at)

    def send_due(self, websocket: WebSocketConnection) -> None:
        """Send a due ping or heartbeat. Raises ConnectionLostError if the last ping was not answered in time."""
        now = boottime()
        pinged_at = self._unanswered_ping_at
        if pinged_at is not None and self.last_frame_at >= pinged_at:
            self._unanswered_ping_at = pinged_at = None
        if pinged_at is not None and now - pinged_at > PONG_TIMEOUT:
            raise ConnectionLostError(f"no answer to a ping for {PONG_TIMEOUT:g} s")
        if now >= self._next_heartbeat_at:
            websocket.send(self._conversation.heartbeat())
            self._next_heartbeat_at = now + (self._conversation.heartbeat_interval or float("inf"))
        if now >= self._next_ping_at:
            websocket.ping()
            self._next_ping_at = now + PING_INTERVAL
            if self._unanswered_ping_at is None:
                self._unanswered_ping_at = now
