"""One client's connection: its outgoing frames, and its part of the account."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from websockets.frames import CloseCode
from websockets.protocol import State

from ticks_standin.account import ConnectionAccount, Ending
from ticks_standin.market.events import Event
from ticks_standin.market.history import History
from ticks_standin.provider.session import Disconnect, Session
from ticks_standin.server.faults import FaultInjector, Frame, StreamFaults
from ticks_standin.server.framing import frame
from ticks_standin.server.transport import FeedSocket
from ticks_standin.settings import StandInSettings

_REMEMBERED_EVENTS = 200


class Connection:
    """Sends to one client, and counts what it sent."""

    def __init__(
        self, number: int, socket: FeedSocket, session: Session, settings: StandInSettings, history: History
    ) -> None:
        """``history`` stores which events were sent."""
        self.number = number
        self.session = session
        self.frozen = False
        """Nothing is sent, and nothing that arrives is read."""
        self.answering_first = False
        """What arrived while it was frozen is answered first; no event is sent."""
        self.pongs_only = False
        """Nothing is sent but pongs: no greeting, no answer, no event."""
        self.disconnecting = False
        """It is about to end; no more messages are answered."""
        self.muted = False
        """No event is sent."""
        self.silent: set[str] = set()
        """Symbols and channels of which no event is sent."""
        self.recent: deque[Event] = deque(maxlen=_REMEMBERED_EVENTS)
        """The last events that were sent."""
        self._socket = socket
        self._settings = settings
        self._history = history
        self._injector: FaultInjector | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._aborted = False
        self._events: list[Event] = []
        self._frames: list[bytes] = []
        self._payloads: list[bytes] = []
        self._names: list[str] = []
        self._numbers: list[int] = []
        self._frames_sent = 0
        self._names_sent: Counter[str] = Counter()
        self._odd: list[tuple[str, str]] = []
        self._odd_sent: Counter[tuple[str, str]] = Counter()
        self._sent: list[bytes] = []
        self._malformed: list[bytes] = []
        self._malformed_sent: list[bytes] = []

    @property
    def unread(self) -> int:
        """Bytes handed to the transport that the client's system has not yet taken."""
        return self._socket.throttled.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._socket.state is State.OPEN and not self._socket.throttled.is_closing()

    def is_behind(self, unread_bytes: int) -> bool:
        """Whether a sender has to wait for it: it leaves more than this unread, and is not frozen."""
        return self.unread > unread_bytes and self.is_open and not self.frozen

    @property
    def takes_shared_frames(self) -> bool:
        """Whether it may be sent frames that were made for others too: it needs no fault of its own in them."""
        return not (
            self.muted or self.frozen or self.answering_first or self.pongs_only or self.silent or self._injector
        )

    def set_faults(self, faults: StreamFaults | None, repeated: Iterable[Event] = ()) -> None:
        """Make its stream faulty from now on, or correct again; ``repeated`` are events of the connection before."""
        self.release()
        self._injector = None
        if faults is not None:
            self._injector = FaultInjector(faults, self.session, self.number)
            self._injector.repeat(repeated)

    def offer(self, event: Event) -> None:
        """Put an event in the next :meth:`flush`, unless events like it are held back."""
        if self.muted or self.frozen or self.answering_first or self.pongs_only:
            return
        if self.silent and event.is_of(self.silent):
            return
        self._events.append(event)

    def queue(
        self,
        payload: bytes,
        framed: bytes | None = None,
        names: Sequence[str] = (),
        odd: Sequence[tuple[str, str]] = (),
        numbers: Sequence[int] = (),
    ) -> None:
        """Put a frame in the next :meth:`flush`; ``names`` are those of the market's events in it.

        ``numbers`` are those of these events in the history.
        """
        self._frames.append(frame(payload) if framed is None else framed)
        self._names += names
        self._odd += odd
        self._numbers += numbers
        if self._settings.record:
            self._payloads.append(payload)

    def flush(self) -> None:
        """Hand what is queued to the transport, and count it. Once the connection is ending, drop it."""
        events = self._events
        if events:
            if self._injector is not None:
                self._queue_frames(self._injector.frames(events))
            else:
                self._queue_events(events)
            self.recent.extend(events[-_REMEMBERED_EVENTS:])
            events.clear()
        if not self._frames:
            return
        if self.is_open and not self.frozen and not self.pongs_only:
            self._socket.throttled.write(b"".join(self._frames))
            self._frames_sent += len(self._frames)
            self._names_sent.update(self._names)
            self._odd_sent.update(self._odd)
            self._sent += self._payloads
            self._malformed_sent += self._malformed
            self._history.sent(self.number, self._numbers)
        for queued in (self._frames, self._names, self._payloads, self._odd, self._malformed, self._numbers):
            queued.clear()
        if self.unread > self._settings.slow_consumer_bytes and not self.disconnecting:
            self.disconnect(self.session.too_slow())

    def release(self) -> None:
        """Send what the faults hold back."""
        if self._injector is not None:
            self._queue_frames(self._injector.released())
            self.flush()

    def _queue_events(self, events: list[Event]) -> None:
        session, position = self.session, 0
        self._odd += [(event.odd, event.name) for event in events if event.odd]
        for size in session.batches(len(events)):
            if size == 1 and session.provider == "twelve_data":
                event = events[position]
                event.framed = event.framed or frame(event.payload)
                self.queue(event.payload, event.framed, (event.name,), numbers=(event.number,))
            else:
                part = events[position : position + size]
                payload = session.wrap([event.payload for event in part])
                numbers = [event.number for event in part] if self._history.kept else ()
                self.queue(payload, names=[event.name for event in part], numbers=numbers)
            position += size

    def _queue_frames(self, frames: list[Frame]) -> None:
        for made in frames:
            self.queue(made.payload, frame(made.payload, text=made.text), made.names, made.odd, made.numbers)
            if self._settings.record:
                self._malformed += made.malformed

    def send(self, *payloads: bytes) -> None:
        """Send text frames at once."""
        for payload in payloads:
            self.queue(payload)
        self.flush()

    def disconnect(self, how: Disconnect) -> asyncio.Task[None] | None:
        """Send the last frames and end: in the task that is returned, if that takes a closing handshake."""
        self.disconnecting = True
        self._events.clear()
        if how.frames and not (self.frozen or self.pongs_only):
            self.send(*how.frames)
        if how.code is not None:
            return asyncio.ensure_future(self.close(how.code, ""))
        if how.frames:
            self.hang_up()
        else:
            self.abort()
        return None

    def abort(self) -> None:
        """Drop the connection without a close frame, as users of Twelve Data see it (twelvedata-python 76 and 85)."""
        self._aborted = True
        self._socket.throttled.abort()

    def hang_up(self) -> None:
        """Drop the connection without a close frame once all is sent."""
        self._aborted = True
        self._socket.throttled.close()

    async def close(self, code: int, reason: str) -> None:
        """Close with a closing handshake."""
        self._events.clear()
        await self._socket.close(code, reason)

    def freeze(self, *, frozen: bool) -> None:
        """Neither send nor read anything, as if the network had swallowed the connection; or do both again."""
        self.frozen = frozen
        self._socket.freeze(frozen=frozen)

    def drip(self, bytes_per_s: float | None) -> None:
        """Send at most this many bytes per second; None ends the limit."""
        self._socket.throttled.drip(bytes_per_s)

    def restart_idle_timer(self) -> None:
        """The client has sent a message, or just connected; without another one in time it is dropped."""
        if self.session.idle_timeout_s is not None:
            self._after("idle", self.session.idle_timeout_s, self.abort)

    def expect_login(self) -> None:
        """Start the timer within which the client has to log in."""
        if self.session.login_timeout_s is not None:
            self._after("login", self.session.login_timeout_s, self._login_overdue)

    def _login_overdue(self) -> None:
        reply = self.session.overdue()
        if reply is not None:
            self.disconnect(Disconnect(reply.frames, None))

    def _after(self, name: str, seconds: float, what: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, what)

    def cancel_timers(self) -> None:
        """The connection has ended: no timer of it may fire."""
        for timer in self._timers.values():
            timer.cancel()

    def account(self) -> ConnectionAccount:
        """What was sent so far."""
        ending: Ending | None = None
        if self._aborted:
            ending = "aborted"
        elif self._socket.state is State.CLOSED:
            ending = "lost" if self._socket.protocol.close_code == CloseCode.ABNORMAL_CLOSURE else "closed"
        symbols: Counter[str] = Counter()
        for name, count in self._names_sent.items():
            symbols[name.partition(".")[2]] += count
        odd: dict[str, dict[str, int]] = {}
        for (kind, name), count in self._odd_sent.items():
            odd.setdefault(kind, {})[name] = count
        return ConnectionAccount(
            number=self.number,
            provider=self.session.provider,
            ending=ending,
            subscribed=self.session.subscriptions(),
            frames=self._frames_sent,
            price_events=self._names_sent.total(),
            symbols=dict(symbols),
            events=dict(self._names_sent),
            odd=odd,
            sent=list(self._sent),
            malformed=list(self._malformed_sent),
        )
