"""The transport, written once for all connectors: connect, read, keep alive, notice death, come back.

One thread owns one connection. It stamps each frame's arrival and hands it on untouched; a frame is looked at only as
far as the connection's life depends on it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import websocket

from ticks_platform.feeds.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    Frame,
    HeardAgain,
    Notice,
    ProviderError,
    Refused,
    Silent,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.life import Change, State, check_step, tell
from ticks_platform.feeds.link import DATA, Link, LinkLostError, connect, describe
from ticks_platform.feeds.liveness import Escalation, Liveness
from ticks_platform.feeds.subscriptions import RateLimit, Subscriptions

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds for the name look-up, TCP, TLS and the WebSocket handshake together."""

PING_INTERVAL = 15.0
"""Seconds between pings; the official twelvedata-python client's interval."""

PONG_TIMEOUT = 10.0
"""Seconds without pong or any frame after a ping, after which the peer is taken for dead."""

AUTHENTICATE_TIMEOUT = 10.0
"""Seconds for the provider to let this client in."""

GOODBYE_TIMEOUT = 0.7
"""Seconds for the provider to answer a close; frames that come before its answer are kept."""

PROVEN_AFTER = 10.0
"""Seconds from a connection's first data after which it counts as a success, and waits begin small again. A provider
that drops the oldest connection of a key serves each for a moment: two clients would chase each other without pause."""

LONGEST_DECODING = 30.0
"""Seconds after a frame within which it may still wait to be decoded: silence is judged up to the last decoded one."""

UNREACHABLE_PAUSE = 4.0
"""Longest wait while nobody answers at all, since trying burdens nobody: a provider that is back is found soon."""

MAX_GROUP_FRAMES = 512
MAX_GROUP_BYTES = 1 << 20
"""What is handed over at a time, at the most."""

_POLL = 0.1
"""Seconds that a read waits before the clock is looked at."""

_LOOK_INTERVAL = 1.0
"""Seconds between looks at which symbols are silent."""


class FeedRefusedError(Exception):
    """The provider refuses this client; trying again with the same settings cannot help."""


class _LeavingError(LinkLostError):
    """It is this side that ends the connection: what is on its way is still to be taken in."""


class _TryLaterError(_LeavingError):
    """Another connection makes sense only after a while."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class _UnreachableError(LinkLostError):
    """There is nobody to connect to."""


class FeedConnection:
    """Streams some symbols' frames until told to stop, across as many connections as it takes.

    `on_frames` is called in the receiving thread with frames of one connection, in order: with those that arrived
    together, before more is asked of the system. It may block, which stops reading. `on_change` is called in the same
    thread with every change of state and every notice.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str],
        on_frames: Callable[[Sequence[Frame]], None],
        on_change: Callable[[Change], None],
        backoff: Backoff | None = None,
        liveness: Liveness | None = None,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """`liveness` judges silence; without it, only a dead peer is noticed. `numbers` number the connections."""
        self._connector = connector
        self._symbols = tuple(symbols)
        self._on_frames = on_frames
        self._group: list[Frame] = []
        self._group_bytes = 0
        self._on_change = on_change
        self._backoff = backoff or Backoff(base=0.5, cap=30.0)
        self._liveness = liveness
        self._escalation = Escalation(liveness) if liveness else None
        self._numbers = numbers or itertools.count(1)
        self._stop = threading.Event()
        self._connection = 0
        self._state = State.CLOSED
        self._first_data: float | None = None

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that stay silent although everything was tried."""
        return self._escalation.unhealthy if self._escalation else frozenset()

    def want(self, symbols: Sequence[str]) -> None:
        """Stream these symbols from now on, on the connection that stands. Safe from any thread."""
        self._symbols = tuple(symbols)

    def stop(self) -> None:
        """Ask `run` to return; it does within a fraction of a second. Safe from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError when the provider refuses this client."""
        try:
            while not self._stop.is_set():
                self._connection = next(self._numbers)
                try:
                    self._stream_once()
                except LinkLostError as lost:
                    if self._first_data is not None and time.monotonic() - self._first_data >= PROVEN_AFTER:
                        self._backoff.reset()
                    delay = self._backoff.next_delay()
                    if isinstance(lost, _UnreachableError):
                        delay %= UNREACHABLE_PAUSE  # as evenly spread as before, which a minimum would not be
                    if isinstance(lost, _TryLaterError):
                        delay += lost.seconds
                    self._change(State.BACKING_OFF, f"{lost}; trying again in {delay:.1f} s")
                    self._stop.wait(delay)
        except FeedRefusedError as refused:
            self._change(State.REFUSED, str(refused))
            raise
        self._change(State.CLOSED, "stopped")

    def _stream_once(self) -> None:
        self._first_data = None
        endpoint = self._connector.endpoint()
        self._change(State.CONNECTING, endpoint.public_url)
        link = self._connect(endpoint)
        if link is None:
            return
        try:
            self._converse(link, self._connector.converse())
        except _LeavingError:
            self._say_goodbye(link)
            raise
        except LinkLostError as lost:
            if isinstance(lost.__cause__, OSError):
                self._take_in_what_arrived(link)
            raise
        finally:
            link.close()
            self._hand_over()

    def _connect(self, endpoint: Endpoint) -> Link | None:
        """A WebSocket that is open, or None when told to stop."""
        try:
            return connect(endpoint, timeout=CONNECT_TIMEOUT, stop=self._stop)
        except websocket.WebSocketBadStatusException as error:
            refusal = self._connector.refusal(HandshakeAnswer(error.status_code, error.resp_body or b""))
            if refusal:
                raise FeedRefusedError(refusal) from None
            raise LinkLostError(f"handshake answered with HTTP {error.status_code}") from error
        except ssl.SSLCertVerificationError as error:
            raise LinkLostError(f"TLS certificate not accepted: {error.verify_message}") from error
        except (websocket.WebSocketException, OSError, ValueError, LookupError) as error:
            # The last two are what the library makes of a host or an answer that cannot be one.
            away = isinstance(error, OSError | websocket.WebSocketAddressException)
            kind = _UnreachableError if away and not isinstance(error, ssl.SSLError) else LinkLostError
            raise kind(f"cannot connect: {describe(error)}") from error

    def _converse(self, link: Link, conversation: Conversation) -> None:
        for message in conversation.opening():
            link.send(message)
        link.poll_every(_POLL)
        talk = _Talk(self, link, conversation)
        while not self._stop.is_set():
            received = link.receive()
            if received is not None:
                talk.clock.heard()
                opcode, data = received
                if opcode in DATA:
                    self._take_in(data)
                    talk.react(data)
                elif opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise LinkLostError(f"the provider closed the connection ({_close_reason(data)})")
            if not link.more_at_hand or self._group_bytes >= MAX_GROUP_BYTES or len(self._group) >= MAX_GROUP_FRAMES:
                self._hand_over()
                talk.tell_answers()
            if received is None or talk.due():
                talk.keep_going()
        self._say_goodbye(link)

    def _say_goodbye(self, link: Link) -> None:
        """Close cleanly, and take in what was on its way: it had reached the socket."""
        deadline = time.monotonic() + GOODBYE_TIMEOUT
        with contextlib.suppress(LinkLostError):
            link.send_close()
            while time.monotonic() < deadline:
                received = link.receive()
                if received is not None and not self._still_open(*received):
                    return

    def _take_in_what_arrived(self, link: Link) -> None:
        """After a failed write, take in what the system had received before: it had reached the socket."""
        with contextlib.suppress(LinkLostError):
            while (received := link.receive()) is not None and self._still_open(*received):
                pass

    def _still_open(self, opcode: int, data: bytes) -> bool:
        """Take a message in if it is a frame; returns whether more may follow."""
        if opcode in DATA:
            self._take_in(data)
        return opcode != websocket.ABNF.OPCODE_CLOSE

    def _take_in(self, data: bytes) -> None:
        self._group.append(Frame(data, time.time_ns(), self._connection))
        self._group_bytes += len(data)

    def _hand_over(self) -> None:
        if self._group:
            group, self._group, self._group_bytes = self._group, [], 0
            self._on_frames(group)

    def _change(self, state: State, detail: str, notice: Notice | None = None) -> None:
        check_step(self._state, state)
        self._state = state
        level = logging.WARNING if state in (State.STALLED, State.BACKING_OFF, State.REFUSED) else logging.INFO
        if isinstance(notice, ChannelsFailed | ProviderError | Silent):
            level = logging.WARNING
        logger.log(level, "connection %d %s: %s", self._connection, state.value, detail)
        self._on_change(Change(state, time.time_ns(), self._connection, detail, notice))


class _Talk:
    """What is said on one open connection: authentication, subscriptions, keep-alive, and what silence leads to."""

    def __init__(self, feed: FeedConnection, link: Link, conversation: Conversation) -> None:
        self._feed = feed
        self._link = link
        self._conversation = conversation
        self._subscriptions = Subscriptions(conversation)
        self._limit = RateLimit(feed._connector.messages_per_minute)
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
            feed._change(State.AUTHENTICATING, "key sent")

    def due(self) -> bool:
        """Whether something has to be done although frames keep coming."""
        return self.clock.due() or self.clock.now >= min(self._look_at, self._subscriptions.next_deadline())

    def react(self, data: bytes) -> None:
        """Act upon a frame."""
        feed = self._feed
        has_data, notices, replies = self._conversation.receive(data)
        if has_data:
            self.tell_answers()
            self._data_at = time.time()
            if feed._state is not State.STREAMING:
                feed._change(State.STREAMING, "first data" if feed._first_data is None else "data again")
            if feed._first_data is None:
                feed._first_data = time.monotonic()
        for message in replies:
            self._send(message)
        for notice in notices:
            self._heed(notice)

    def _heed(self, notice: Notice) -> None:
        feed = self._feed
        if isinstance(notice, Refused):
            raise FeedRefusedError(notice.reason)
        if isinstance(notice, TryLater):
            raise _TryLaterError(notice.reason, notice.seconds)
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
            feed._change(feed._state, tell(notice), notice)

    def tell_answers(self) -> None:
        """Report what was acknowledged since the last time."""
        if not self._answers:
            return
        answers, self._answers = self._answers, []
        notice = type(answers[0])(tuple(channel for answer in answers for channel in answer.channels))
        self._feed._change(self._feed._state, tell(notice), notice)

    def keep_going(self) -> None:
        """Send what is due, and judge what is missing. Raises LinkLostError when the peer seems dead."""
        now = time.monotonic()
        self.clock.keep_alive(self._link)
        if not self._authenticated:
            if now >= self._authenticated_by:
                raise LinkLostError(f"not authenticated within {AUTHENTICATE_TIMEOUT:g} s")
            return
        unanswered = self._subscriptions.overdue(now)
        if unanswered is not None:
            self._feed._change(self._feed._state, tell(unanswered), unanswered)
        if self._symbols is not self._feed._symbols:
            self._want()
        self._ask(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_INTERVAL
            self._look_for_silence()

    def _subscribe(self) -> None:
        self._feed._change(State.SUBSCRIBING, f"{len(self._feed._symbols)} symbols asked for")
        self._want()
        self._ask(time.monotonic())

    def _want(self) -> None:
        self._symbols = self._feed._symbols
        connector = self._feed._connector
        now = time.time()
        self._subscribed_at = {symbol: self._subscribed_at.get(symbol, now) for symbol in self._symbols}
        self._subscriptions.want(channel for symbol in self._symbols for channel in connector.channels(symbol))

    def _ask(self, now: float) -> None:
        messages = self._subscriptions.due(now, room=self._limit.room(now))
        if messages:
            self._link.poll_every(CONNECT_TIMEOUT)  # a long subscription may take its time on a slow line
            for message in messages:
                self._send(message)
            self._link.poll_every(_POLL)

    def _send(self, message: str) -> None:
        self._link.send(message)
        self._limit.sent(time.monotonic())

    def _look_for_silence(self) -> None:
        """Only while every frame is decoded: what waits in the journal is not silence."""
        feed, liveness, escalation = self._feed, self._feed._liveness, self._feed._escalation
        if liveness is None or escalation is None:
            return
        now = time.time()
        names = {feed._connector.symbol_of(symbol): symbol for symbol in self._symbols or ()}
        self._look_for_stall(liveness, names, now)
        if self._data_at > liveness.decoded_until and now - self._data_at < LONGEST_DECODING:
            now = liveness.decoded_until

        def channels(name: str) -> tuple[str, ...]:
            # A symbol that is no longer wanted may be heard of for a last time.
            return feed._connector.channels(names.get(name, name))

        steps = escalation.look({name: self._subscribed_at[symbol] for name, symbol in names.items()}, now)
        if steps.heard_again:
            notice: Notice = HeardAgain(tuple(itertools.chain.from_iterable(map(channels, steps.heard_again))))
            feed._change(feed._state, tell(notice), notice)
        if steps.noticed:
            notice = Silent({channel: gone for name, gone in steps.noticed.items() for channel in channels(name)})
            feed._change(feed._state, tell(notice), notice)
            self._subscriptions.ask_again(notice.seconds)
        if steps.unhealthy:
            names_ = ", ".join(sorted(steps.unhealthy)[:10])
            feed._change(feed._state, f"{names_}: silent although everything was tried")
        if steps.reconnect:
            feed._change(State.STALLED, steps.reconnect)
            raise _LeavingError(steps.reconnect)

    def _look_for_stall(self, liveness: Liveness, symbols: Iterable[str], now: float) -> None:
        """No data at all, of any symbol, while a market is open: subscribe anew, then reconnect."""
        feed = self._feed
        # Other connections of the feed may have symbols of markets that are open when all of this one's are closed.
        opened, any_opened = liveness.open_since(symbols, now), liveness.any_open_since(now)
        silence = 0.0 if opened is None or any_opened is None else now - max(self._data_at, opened, any_opened)
        if silence > 1.5 * liveness.patience and feed._state is State.STALLED:
            raise LinkLostError(f"no data for {silence:.0f} s, subscribed anew in vain")
        if silence > liveness.patience and feed._state is not State.STALLED:
            feed._change(State.STALLED, f"no data for {silence:.0f} s; subscribing anew")
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

    def keep_alive(self, link: Link) -> None:
        """Send what is due. Raises LinkLostError when the last ping went unanswered for too long."""
        now = time.monotonic()
        if self._pinged is not None and self._heard >= self._pinged:
            self._pinged = None
        if self._pinged is not None and now - self._pinged > PONG_TIMEOUT:
            raise LinkLostError(f"no answer to a ping for {PONG_TIMEOUT:g} s")
        if now >= self._heartbeat_at:
            link.send(self._conversation.heartbeat())
            self._heartbeat_at = now + (self._conversation.heartbeat_interval or float("inf"))
        if now >= self._ping_at:
            link.ping()
            self._ping_at = now + PING_INTERVAL
            if self._pinged is None:
                self._pinged = now


def _close_reason(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
    reason = data[2:].decode(errors="replace")
    return f"code {code}{', ' + reason if reason else ''}"
