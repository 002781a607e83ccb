"""What is said on one open connection; the transport around it is `ticks_platform.feeds.transport.reconnect`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

from ticks_platform.feeds.connector import Connector, Conversation
from ticks_platform.feeds.errors import ConnectionLostError, FeedRefusedError, LeavingError, TryLaterError
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    HeardAgain,
    Notice,
    Refused,
    Silent,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.transport.silence import Escalation, SilenceDetector
from ticks_platform.feeds.transport.state import State, StateTracker
from ticks_platform.feeds.transport.subscriptions import RateLimit, Subscriptions
from ticks_platform.feeds.transport.websocket import WebSocketConnection

PING_INTERVAL = 15.0
"""Seconds between pings; the official twelvedata-python client's interval."""

PONG_TIMEOUT = 10.0
"""Seconds without pong or any frame after a ping, after which the peer is taken for dead."""

AUTHENTICATE_TIMEOUT = 10.0
"""Seconds for the provider to let this client in."""

SUBSCRIBE_TIMEOUT = 10.0
"""Seconds for sending a subscription, which may be a long one on a slow line."""

LONGEST_DECODING = 30.0
"""Seconds after a frame within which it may still wait to be decoded: silence is judged up to the last decoded one."""

POLL = 0.1
"""Seconds that a read waits before the clock is looked at."""

_LOOK_INTERVAL = 1.0
"""Seconds between looks at which symbols are silent."""


class Session:
    """What is said on one open connection: authentication, subscriptions, keep-alive, and what silence leads to."""

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
        """`escalation` judges silence, if it is to be judged; `symbols` tells which are wanted at the moment.

        Raises ConnectionLostError when the link is lost already.
        """
        self._websocket = websocket
        self._conversation = conversation
        self._connector = connector
        self._state = state
        self._escalation = escalation
        self._wanted = symbols
        websocket.poll_every(POLL)
        self._subscriptions = Subscriptions(conversation)
        self._limit = RateLimit(self._connector.messages_per_minute)
        for _ in conversation.opening():
            self._limit.sent(time.monotonic())
        self.clock = _Clock(conversation)
        self._answers: list[Acknowledged | Unsubscribed] = []
        self._symbols: tuple[str, ...] | None = None
        self._subscribed_at: dict[str, float] = {}
        self._data_at = time.time()
        self._look_at = time.monotonic() + _LOOK_INTERVAL
        self._authenticated = not conversation.authenticates
        self._authenticated_by = time.monotonic() + AUTHENTICATE_TIMEOUT
        if self._authenticated:
            self._subscribe()
        else:
            self._state.change(State.AUTHENTICATING, "key sent")

    def due(self) -> bool:
        """Whether something has to be done although frames keep coming."""
        return self.clock.due() or self.clock.now >= min(self._look_at, self._subscriptions.next_deadline())

    def react(self, data: bytes) -> None:
        """Act upon a frame. Raises FeedRefusedError or TryLaterError when the provider turns this client away in it."""
        has_data, notices, replies = self._conversation.receive(data)
        if has_data:
            self.tell_answers()
            self._data_at = time.time()
            self._state.brought_data()
            if self._state.current is not State.STREAMING:
                self._state.change(State.STREAMING, "first data" if self._state.first_data is None else "data again")
            if self._state.first_data is None:
                self._state.first_data = time.monotonic()
        for message in replies:
            self._send(message)
        for notice in notices:
            self._handle(notice)

    def _handle(self, notice: Notice) -> None:
        if isinstance(notice, Refused):
            raise FeedRefusedError(notice.reason)
        if isinstance(notice, TryLater):
            raise TryLaterError(notice.reason, notice.seconds)
        if isinstance(notice, Authenticated):
            if not self._authenticated:
                self._authenticated = True
                self._subscribe()
            return
        self._subscriptions.answered(notice)
        if isinstance(notice, Acknowledged | Unsubscribed):
            # One line for all that come together: some providers answer channel by channel, thousands of them.
            if self._answers and type(self._answers[-1]) is not type(notice):
                self.tell_answers()
            self._answers.append(notice)
        else:
            self._state.remark(notice)

    def tell_answers(self) -> None:
        """Report what was acknowledged since the last time."""
        if not self._answers:
            return
        answers, self._answers = self._answers, []
        notice = type(answers[0])(tuple(channel for answer in answers for channel in answer.channels))
        self._state.remark(notice)

    def keep_going(self) -> None:
        """Send what is due, and judge what is missing. Raises ConnectionLostError when the peer seems dead."""
        now = time.monotonic()
        self.clock.keep_alive(self._websocket)
        if not self._authenticated:
            if now >= self._authenticated_by:
                raise ConnectionLostError(f"not authenticated within {AUTHENTICATE_TIMEOUT:g} s")
            return
        unanswered = self._subscriptions.overdue(now)
        if unanswered is not None:
            self._state.remark(unanswered)
        if self._symbols is not self._wanted():
            self._want()
        self._ask(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_INTERVAL
            self._look_for_silence()

    def _subscribe(self) -> None:
        self._state.change(State.SUBSCRIBING, f"{len(self._wanted())} symbols asked for")
        self._want()
        self._ask(time.monotonic())

    def _want(self) -> None:
        self._symbols = self._wanted()
        now = time.time()
        self._subscribed_at = {symbol: self._subscribed_at.get(symbol, now) for symbol in self._symbols}
        self._subscriptions.want(channel for symbol in self._symbols for channel in self._connector.channels(symbol))

    def _ask(self, now: float) -> None:
        messages = self._subscriptions.due(now, room=self._limit.room(now))
        if messages:
            self._websocket.poll_every(SUBSCRIBE_TIMEOUT)
            for message in messages:
                self._send(message)
            self._websocket.poll_every(POLL)

    def _send(self, message: str) -> None:
        self._websocket.send(message)
        self._limit.sent(time.monotonic())

    def _look_for_silence(self) -> None:
        """Only while every frame is decoded: what waits in the journal is not silence."""
        escalation = self._escalation
        if escalation is None:
            return
        silence = escalation.silence
        now = time.time()
        names = {self._connector.symbol_of(symbol): symbol for symbol in self._symbols or ()}
        self._look_for_stall(silence, names, now)
        if self._data_at > silence.decoded_until and now - self._data_at < LONGEST_DECODING:
            now = silence.decoded_until

        def channels(name: str) -> tuple[str, ...]:
            # A symbol that is no longer wanted may be heard of for a last time.
            return self._connector.channels(names.get(name, name))

        steps = escalation.look({name: self._subscribed_at[symbol] for name, symbol in names.items()}, now)
        if steps.heard_again:
            notice: Notice = HeardAgain(tuple(itertools.chain.from_iterable(map(channels, steps.heard_again))))
            self._state.remark(notice)
        if steps.noticed:
            notice = Silent({channel: gone for name, gone in steps.noticed.items() for channel in channels(name)})
            self._state.remark(notice)
            self._subscriptions.ask_again(notice.seconds)
        if steps.unhealthy:
            names_ = ", ".join(sorted(steps.unhealthy)[:10])
            self._state.change(self._state.current, f"{names_}: silent although everything was tried")
        if steps.reconnect:
            self._state.change(State.STALLED, steps.reconnect)
            raise LeavingError(steps.reconnect)

    def _look_for_stall(self, silence: SilenceDetector, symbols: Iterable[str], now: float) -> None:
        """No data at all, of any symbol, while a market is open: subscribe anew, then reconnect."""
        # Other connections of the feed may have symbols of markets that are open when all of this one's are closed.
        opened, any_opened = silence.open_since(symbols, now), silence.any_open_since(now)
        silent_for = 0.0 if opened is None or any_opened is None else now - max(self._data_at, opened, any_opened)
        if silent_for > 1.5 * silence.patience and self._state.current is State.STALLED:
            raise ConnectionLostError(f"no data for {silent_for:.0f} s, subscribed anew in vain")
        if silent_for > silence.patience and self._state.current is not State.STALLED:
            self._state.change(State.STALLED, f"no data for {silent_for:.0f} s; subscribing anew")
            self._subscriptions.ask_again(self._subscriptions.active)


class _Clock:
    """What is due when on one connection, on the monotonic clock."""

    def __init__(self, conversation: Conversation) -> None:
        now = time.monotonic()
        self._conversation = conversation
        self._heard = now
        self._ping_at = now + PING_INTERVAL
        self._pinged: float | None = None
        self._heartbeat_at = now + (conversation.heartbeat_interval or float("inf"))

    def heard(self) -> None:
        self._heard = time.monotonic()

    @property
    def now(self) -> float:
        """The clock as of the last frame: it costs nothing to look at."""
        return self._heard

    def due(self) -> bool:
        return self._heard >= min(self._ping_at, self._heartbeat_at)

    def keep_alive(self, websocket: WebSocketConnection) -> None:
        """Send what is due. Raises ConnectionLostError when the last ping went unanswered for too long."""
        now = time.monotonic()
        if self._pinged is not None and self._heard >= self._pinged:
            self._pinged = None
        if self._pinged is not None and now - self._pinged > PONG_TIMEOUT:
            raise ConnectionLostError(f"no answer to a ping for {PONG_TIMEOUT:g} s")
        if now >= self._heartbeat_at:
            websocket.send(self._conversation.heartbeat())
            self._heartbeat_at = now + (self._conversation.heartbeat_interval or float("inf"))
        if now >= self._ping_at:
            websocket.ping()
            self._ping_at = now + PING_INTERVAL
            if self._pinged is None:
                self._pinged = now
