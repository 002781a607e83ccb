"""One connection after the other: connect, read frames, reconnect with a backoff.

One thread owns one connection. It stamps the arrival of each frame and passes the bytes on unchanged; it reads only as
much of a frame as the connection's state depends on.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

from ticks_platform import proxies
from ticks_platform.backoff import Backoff
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint
from ticks_platform.feeds.errors import (
    ConnectionLostError,
    FeedRefusedError,
    LocalCloseError,
    TryLaterError,
    UnreachableError,
)
from ticks_platform.feeds.events import Frame, Refused
from ticks_platform.feeds.transport.arrivals import Group
from ticks_platform.feeds.transport.clock import BEGIN, boottime, boottime_ns
from ticks_platform.feeds.transport.limits import MAX_MESSAGE_BYTES
from ticks_platform.feeds.transport.pause import Pause
from ticks_platform.feeds.transport.session import POLL_INTERVAL, Session
from ticks_platform.feeds.transport.silence import Escalation, SilenceDetector
from ticks_platform.feeds.transport.state import Change, State, StateTracker
from ticks_platform.feeds.transport.websocket import (
    CLOSE,
    DATA,
    PONG,
    HandshakeFailedError,
    WebSocketConnection,
    close_reason,
    connect,
)
from ticks_platform.retry_after import retry_after

CONNECT_TIMEOUT = 10.0
"""Seconds for the name look-up, TCP, TLS and the WebSocket handshake together."""

BACKOFF_BASE, BACKOFF_CAP = 0.5, 30.0
"""Seconds: a reconnect waits at random between 0 and BACKOFF_BASE x 2^failures, at most BACKOFF_CAP."""

CLOSE_TIMEOUT = 0.7
"""Seconds for the closing handshake. Frames that arrive before the provider's close frame are kept."""

STABLE_AFTER = 10.0
"""Seconds from a connection's first data after which the backoff is reset. Some providers drop a key's oldest
connection for a new one: without this, two clients would end each other's connections without a pause."""

CONFIRM_REFUSAL_AFTER = 30.0
"""Seconds from a refusal of the key to the one that ends the feed. What refuses a good key passes: a provider's own
fault, a firewall, a key that was just renewed."""

REJECTED_PAUSE = 2.0
"""Seconds that a reconnect waits more after an HTTP answer 4xx that does not say when to come again: such an answer
does not come from an outage, so there is no hurry."""

UNREACHABLE_MAX_DELAY = 4.0
"""Longest wait in seconds while the server cannot be reached: an attempt costs it nothing, and outages end sooner."""

DRAIN_CHECK_INTERVAL = 50_000_000
"""Nanoseconds between checks whether everything that has arrived was read, and whether the clocks agree."""

HANDING_PAUSE = 0.1
READING_PAUSE = 600_000_000
"""Seconds that the journal takes for a group, or nanoseconds from one look at the socket to the next, after which
frames may wait at the provider: it cannot send while the socket is full, so an empty one does not prove that all has
arrived."""

MAX_GROUP_FRAMES = 512
MAX_GROUP_BYTES = 1 << 20
"""Limits of one call of `on_frames`; a message that is larger comes alone."""


class FeedConnection:
    """Streams the frames of some symbols until `stop`, over one connection after the other.

    `on_frames` is called in the receiving thread with the frames that arrived together, in order and of one connection.
    It may block, which stops reading; once it has returned False, nothing more is read at a stop. `on_change` is called
    in the same thread with every state and notice.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        symbols: Sequence[str],
        on_frames: Callable[[Sequence[Frame]], bool | None],
        on_change: Callable[[Change], None],
        backoff: Backoff | None = None,
        silence: SilenceDetector | None = None,
        numbers: Iterator[int] | None = None,
        feed: str = "",
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        confirm_refusal_after: float | None = None,
        pause: Pause | None = None,
    ) -> None:
        """Without `silence`, only a dead peer is detected. `numbers` number the connections; `feed` is for the log.

        `pause` is shared with the feed's other connections. `confirm_refusal_after` replaces CONFIRM_REFUSAL_AFTER.
        """
        self._connector = connector
        self._symbols = tuple(symbols)
        self._on_frames = on_frames
        self._group = Group()
        self._look_at = 0
        self._looked_at = 0
        self._has_paused = False
        """Whether reading has paused for so long since the last ping that frames may wait at the provider."""
        self._handing = 0.0
        """Seconds that `on_frames` has taken on this connection."""
        self._is_refused = False
        """Whether `on_frames` had no place for what it was given."""
        self._proof: bytes | None = None
        """The payload of the ping whose answer proves that what waited at the provider has arrived, or None."""
        self._state = StateTracker(on_change, feed=feed)
        self._backoff = backoff or Backoff(base=BACKOFF_BASE, cap=BACKOFF_CAP)
        self._escalation = Escalation(silence) if silence else None
        self._numbers = numbers or itertools.count(1)
        self._max_message_bytes = max_message_bytes
        self._max_group_bytes = min(MAX_GROUP_BYTES, max_message_bytes)
        self._confirm_after = CONFIRM_REFUSAL_AFTER if confirm_refusal_after is None else confirm_refusal_after
        self._pause = pause or Pause()
        self._dialled = ""
        self._refused_at: float | None = None
        """When the key was first refused since it was last accepted, on the monotonic clock."""
        self._stop = threading.Event()

    @property
    def state(self) -> State:
        """The state of the current connection."""
        return self._state.current

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that are still silent after a new subscription and a reconnect."""
        return self._escalation.unhealthy if self._escalation else frozenset()

    def set_symbols(self, symbols: Sequence[str]) -> None:
        """Stream these symbols from now on, on the open connection. Safe from any thread."""
        self._symbols = tuple(symbols)

    def stop(self) -> None:
        """Ask `run` to return, which takes less than a second. Safe from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Stream until `stop`. Raises FeedRefusedError if the provider refuses this client twice, some time apart."""
        while not self._stop.is_set():
            self._pause.wait(self._stop)
            if self._stop.is_set():
                break
            self._state.begin(next(self._numbers))
            try:
                self._run_connection()
            except ConnectionLostError as lost:
                delay, reason = self._delay(lost), str(lost)
            except FeedRefusedError as refused:
                if self._is_confirmed():
                    self._state.change(State.REFUSED, self._told(refused))
                    raise
                self._state.report(Refused(self._told(refused)))
                delay, reason = self._delay_of_refusal(), str(refused)
            else:
                continue
            self._state.change(State.BACKING_OFF, f"{self._told(reason)}; retrying in {delay:.1f} s")
            self._stop.wait(delay)
        self._state.change(State.CLOSED, "stopped")

    def _told(self, reason: object) -> str:
        """A reason, with the proxy that the connection goes through."""
        return f"{reason}{proxies.through(self._dialled)}"

    def _delay(self, lost: ConnectionLostError) -> float:
        """Seconds to wait after the end of a connection."""
        if self._state.accepted:
            self._refused_at = None
        if self._was_stable():
            self._backoff.reset()
        delay = self._backoff.next_delay()
        if isinstance(lost, UnreachableError):
            delay %= UNREACHABLE_MAX_DELAY  # still evenly spread, unlike min()
        if isinstance(lost, TryLaterError):
            delay += lost.seconds
        if isinstance(lost, HandshakeFailedError):
            asked = retry_after(lost.answer.headers)
            if asked is not None:
                self._pause.extend(asked)
            elif 400 <= lost.answer.status < 500:
                delay += REJECTED_PAUSE
        return delay + self._pause.left

    def _is_confirmed(self) -> bool:
        """Whether a refusal was preceded by another one some time ago, and by no acceptance since."""
        if self._state.accepted or self._refused_at is None:
            return False
        return boottime() - self._refused_at >= self._confirm_after

    def _delay_of_refusal(self) -> float:
        """Seconds to wait after a refusal that ends nothing yet."""
        now = boottime()
        if self._state.accepted:
            # The key was good a moment ago: the next handshake tells.
            self._refused_at = now
            if self._was_stable():
                self._backoff.reset()
            return self._backoff.next_delay()
        if self._refused_at is None:
            self._refused_at = now
        return max(self._refused_at + self._confirm_after - now, 0.0)

    def _run_connection(self) -> None:
        if self._dialled and self._connector.find_url is not None:
            self._connector.url = self._connector.find_url()
        endpoint = self._connector.endpoint()
        self._dialled = endpoint.url
        self._looked_at, self._has_paused, self._proof, self._handing = 0, False, None, 0.0
        self._state.change(State.CONNECTING, endpoint.public_url)
        websocket = self._connect(endpoint)
        if websocket is None:
            return
        self._state.server_ahead = websocket.server_ahead
        try:
            self._receive(websocket, self._connector.converse())
        except LocalCloseError:
            self._close_gracefully(websocket)
            raise
        except ConnectionLostError as lost:
            if isinstance(lost.__cause__, OSError):
                self._read_received(websocket)
            raise
        finally:
            websocket.close()
            self._flush()

    def _was_stable(self) -> bool:
        first_data_at = self._state.first_data_at
        return first_data_at is not None and boottime() - first_data_at >= STABLE_AFTER

    def _connect(self, endpoint: Endpoint) -> WebSocketConnection | None:
        """An open WebSocket, or None if `stop` was called."""
        try:
            return connect(
                endpoint, timeout=CONNECT_TIMEOUT, stop=self._stop, max_message_bytes=self._max_message_bytes
            )
        except HandshakeFailedError as failed:
            self._state.server_ahead = failed.server_ahead
            refusal = self._connector.refusal(failed.answer)
            # Who says when to come again refuses no key.
            if refusal and retry_after(failed.answer.headers) is None:
                raise FeedRefusedError(refusal) from None
            raise

    def _receive(self, websocket: WebSocketConnection, conversation: Conversation) -> None:
        for message in conversation.opening():
            websocket.send(message)
        session = Session(
            websocket,
            conversation,
            connector=self._connector,
            state=self._state,
            escalation=self._escalation,
            symbols=lambda: self._symbols,
        )
        while not self._stop.is_set():
            has_received = self._receive_buffered(websocket, session) or self._receive_one(websocket, session)
            if not websocket.has_buffered_message or self._is_group_full:
                self._flush()
                self._note_drained(websocket)
                session.report_answers()
            if not has_received or session.housekeeping_due():
                session.do_housekeeping()
        self._close_gracefully(websocket)

    def _receive_one(self, websocket: WebSocketConnection, session: Session) -> bool:
        """Receive the next message, and handle it; returns whether there was one in time."""
        received = websocket.receive()
        if received is None:
            return False
        session.keep_alive.frame_received()
        opcode, data = received
        if opcode in DATA:
            self._buffer((data,))
            session.handle_frame(data)
        elif opcode == PONG:
            self._state.answered()
            if data == self._proof:
                self._proof = None
        elif opcode == CLOSE:
            raise ConnectionLostError(f"the provider closed the connection ({close_reason(data)})")
        return True

    def _receive_buffered(self, websocket: WebSocketConnection, session: Session) -> bool:
        """Receive the data messages that are buffered, together: with one stamp, and into one group.

        While data changes the state, none is received with others: the clocks are looked at in between.
        """
        if self._state.current is not State.STREAMING:
            return False
        most, most_bytes = MAX_GROUP_FRAMES - len(self._group.frames), self._max_group_bytes - self._group.size
        frames = websocket.receive_buffered(most, most_bytes)
        if not frames:
            return False
        session.keep_alive.frame_received()
        done = 0
        try:
            for place in session.to_read(frames):
                if place > done:
                    self._buffer(frames[done:place])
                    done = place
                    session.data_received()
                self._buffer(frames[place : place + 1])
                done = place + 1
                session.handle_frame(frames[place])
        finally:
            # They have arrived, whatever became of the one before them.
            self._buffer(frames[done:])
        if done < len(frames):
            session.data_received()
        return True

    @property
    def _is_group_full(self) -> bool:
        return self._group.size >= self._max_group_bytes or len(self._group.frames) >= MAX_GROUP_FRAMES

    def _note_drained(self, websocket: WebSocketConnection) -> None:
        """Note a moment at which all that arrived was handed over: later data proves that nothing was lost before it.

        The arrival of a frame alone proves nothing: after a pause in reading, the first frames were sent before the
        pause, and the provider may have dropped the connection during it.
        """
        now, before = boottime_ns(), self._state.drained_at
        if now >= self._look_at:
            self._look_at = now + DRAIN_CHECK_INTERVAL
            self._state.look_at_clocks()
        if self._looked_at and now - self._looked_at > READING_PAUSE:
            self._has_paused = True
        self._looked_at = now
        if self._has_paused:
            self._has_paused, self._proof = False, b"%d" % now
            websocket.ping(self._proof)
        if self._proof is not None:
            return
        if (before is None or now - before >= DRAIN_CHECK_INTERVAL) and websocket.is_drained:
            self._state.drained_at = now

    def _close_gracefully(self, websocket: WebSocketConnection) -> None:
        """Do the closing handshake, and keep the frames that were still on their way."""
        # While a group waits for room in the journal, nothing is read.
        deadline = boottime() + CLOSE_TIMEOUT - self._handing
        with contextlib.suppress(ConnectionLostError):
            websocket.send_close()
            while not self._is_refused and (left := deadline + self._handing - boottime()) > 0:
                websocket.set_timeout(min(left / 2, POLL_INTERVAL))  # a read takes up to twice its timeout
                received = websocket.receive()
                if received is not None and not self._buffer_unless_close(*received):
                    return

    def _read_received(self, websocket: WebSocketConnection) -> None:
        """After a failed write, keep the frames that the socket had received before."""
        with contextlib.suppress(ConnectionLostError):
            while (received := websocket.receive()) is not None and self._buffer_unless_close(*received):
                pass

    def _buffer_unless_close(self, opcode: int, data: bytes) -> bool:
        """Keep a message with data; return False after a close frame."""
        if opcode in DATA:
            self._buffer((data,))
            if self._is_group_full:
                self._flush()
        return opcode != CLOSE

    def _buffer(self, frames: Sequence[bytes]) -> None:
        """Add frames to the group, as arriving now."""
        size = sum(map(len, frames))
        if self._group.size + size > self._max_group_bytes:
            self._flush()
        stepped = self._state.watch.stepped
        if self._group.stepped != stepped:
            self._flush()  # a group is by one clock, and it was set
        if not self._group.frames:
            # A frame's arrival does not tell that: it may have waited in the socket, with others behind it.
            drained_at = self._state.drained_at
            self._group.begin(stepped, covered_until=0 if drained_at is None else drained_at + BEGIN + stepped)
        self._group.add(frames, size, received_at=boottime_ns() + BEGIN + stepped)

    def _flush(self) -> None:
        if self._group.frames:
            group = self._group.take(self._state.connection)
            began = boottime()
            self._is_refused |= self._on_frames(group) is False
            took = boottime() - began
            self._handing += took
            self._has_paused |= took > HANDING_PAUSE
