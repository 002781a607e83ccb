"""The campaign that a connector passes: what its provider says is told once, and all cases follow from that."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from ticks_platform.feeds.calendars import ALWAYS, calendar
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import ARRIVAL, Control, Event, Rejected, Tick
from ticks_platform.feeds.history import (
    History,
    HistoryAnswer,
    HistoryError,
    Page,
    RateLimitedError,
    Span,
    TransientError,
)
from ticks_platform.feeds.history import decode as decode_history
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import State
from ticks_platform.testing.frames import check_event, check_frame, check_many, damaged
from ticks_platform.testing.live import FAULTS, Answer, LiveServer, Stream, wait_until
from ticks_platform.testing.market import Trade, trades
from ticks_platform.testing.past import PastServer, fetch
from ticks_platform.timestamps import MILLISECOND, SECOND

BEGIN = 1_767_366_000 * SECOND
"""When the kit's market opens: 2026-01-02 15:00 UTC."""

_PATIENCE = 0.2
"""Seconds without data after which the kit's connection counts as stalled."""

_STATUSES = (200, 204, 400, 401, 403, 404, 408, 425, 429, 500, 502, 503)
_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"[null]",
    b"not json",
    b"<html>Bad Gateway</html>",
    b"\xff",
    b"[" * 9999,
)


class Case(NamedTuple):
    """One thing that a connector has to stand. Its text is its name, for the ids of a test framework."""

    name: str
    check: Callable[[], None]

    def __str__(self) -> str:
        return self.name

    def run(self) -> None:
        """Raises AssertionError, which says what is wrong."""
        self.check()


class _Outage(NamedTuple):
    """An end of the connection, and what the market did before the next one was subscribed."""

    first: int
    """The place of the first trade that nobody sent."""
    end: int


@dataclass(frozen=True)
class ConnectorKit:
    """What a provider says, in its own words; `cases` are the tests that follow.

    The trades are the kit's: `trade` puts one into a frame, and `past` answers a request of the connector's history.
    """

    connector: type[Connector]
    symbols: Sequence[str]
    """As feeds.yaml would spell them; two or more show most."""
    trade: Callable[[Trade], bytes]
    """The frame that tells a trade."""
    answer: Answer
    """What the server answers to the last of the messages that the client sent on this connection."""
    greeting: Sequence[bytes] = ()
    """What the server sends to whoever connects."""
    recorded: Sequence[bytes] = ()
    """Frames of the real provider: each has to be read."""
    past: Callable[[Mapping[str, Sequence[Trade]], str], tuple[int, Any]] | None = None
    """The status and the body of the REST API's answer to a target, such as ``/trades?after=7``, by the trades of each
    symbol; a body that is no bytes is sent as JSON. None if the connector has no history."""
    resolution: int = MILLISECOND
    """Nanoseconds to which the provider tells times."""
    options: Mapping[str, Any] = field(default_factory=dict)
    api_key: str | None = "key-of-the-kit"

    def cases(self, *, seeds: Iterable[int] = (1, 2)) -> list[Case]:
        """All cases; one campaign of faults and repairs for each seed."""
        found = [
            Case("a trade is a tick", self._trade_is_a_tick),
            Case("recorded frames are read", self._recorded_frames),
            Case("damaged frames harm nothing", self._damaged_frames),
            Case("frames mean the same together", self._together),
            *(Case(f"it recovers from {name}", partial(self._recovers, name)) for name in FAULTS),
            Case("it recovers from a stall", self._stall),
        ]
        if self.past is not None:
            found += [
                Case("history has each trade once", self._history),
                Case("history stands any answer", self._history_errors),
            ]
        return [*found, *(Case(f"campaign {seed}", partial(self._campaign, seed)) for seed in seeds)]

    def connect(self, url: str | None = None) -> Connector:
        """A connector to this address."""
        return self.connector(url=url, api_key=self.api_key, options=self.options)

    def names(self) -> list[str]:
        """The symbols as ticks name them."""
        connector = self.connect()
        return [connector.symbol_of(symbol) for symbol in self.symbols]

    def server(self) -> LiveServer:
        """A server of this provider."""
        return LiveServer(self.answer, greeting=self.greeting)

    def past_server(self, made: Sequence[Trade], failures: Sequence[tuple[int, Any]] = ()) -> PastServer:
        """A REST API that has these trades."""
        assert self.past is not None, "the kit was given no `past`"
        by_symbol: dict[str, list[Trade]] = {name: [] for name in self.names()}
        for trade in made:
            by_symbol[trade.symbol].append(trade)
        return PastServer(partial(self.past, by_symbol), list(failures))

    # Frames in, events out.

    def _tick(self, trade: Trade, connector: Connector) -> Tick:
        """The tick of a trade, after checks that it is that trade."""
        frame = self.trade(trade)
        found = check_frame(connector, frame)
        ticks = [event for event in found if isinstance(event, Tick)]
        assert len(ticks) == 1, f"a frame of one trade gave {found}"
        (tick,) = ticks
        assert connector.converse().receive(frame).has_data, "receive does not say that a frame with a trade is data"
        assert tick.symbol == trade.symbol, f"the symbol is {tick.symbol!r}, but symbol_of says {trade.symbol!r}"
        assert tick.time == ARRIVAL or abs(tick.time - trade.time) < self.resolution, (
            f"a trade at {trade.time} ns became a tick at {tick.time} ns: {tick.time / trade.time:.4g} times as much"
        )
        assert tick.price == trade.price, f"a price of {trade.price} became {tick.price}"
        assert tick.size in (None, trade.size), f"a size of {trade.size} became {tick.size}"
        assert not tick.malformed, f"fields of a good frame count as malformed: {tick.malformed}"
        return tick

    def _trade_is_a_tick(self) -> None:
        connector = self.connect()
        made = trades(self.names(), 30, begin=BEGIN)
        ticks = [self._tick(trade, connector) for trade in made]
        assert ticks == [self._tick(trade, self.connect()) for trade in made], "it depends on more than the frame"
        numbered = [tick for tick in ticks if tick.trade_id is not None]
        assert len({_identity(tick) for tick in numbered}) == len(numbered), "two trades have one trade_id"

    def _recorded_frames(self) -> None:
        connector = self.connect()
        for frame in (*self.greeting, *self.recorded):
            for event in check_frame(connector, frame):
                assert not isinstance(event, Rejected), f"a frame of the provider was rejected: {event}"
            has_data = connector.converse().receive(frame).has_data
            expected = not all(isinstance(event, Control) for event in connector.decode(frame))
            # What counts as data although it is none, such as a heartbeat, hides that the provider sends nothing else.
            assert has_data == expected, f"receive says has_data={has_data} of {frame[:300]!r}"

    def _damaged_frames(self) -> None:
        connector = self.connect()
        frames = [self.trade(trade) for trade in trades(self.names()[:1], 1, begin=BEGIN)]
        for frame in (*frames, *self.recorded, *self.greeting):
            for bad in damaged(frame):
                check_frame(connector, bad)

    def _together(self) -> None:
        frames = [self.trade(trade) for trade in trades(self.names(), 20, begin=BEGIN)]
        mixed = [*self.greeting, *frames, *self.recorded, b"not json", *frames[:3]]
        for group in (frames, frames[:1], mixed):
            check_many(self.connect(), group)

    # Life against faults.

    def _recovers(self, name: str) -> None:
        before, after = _halves(trades(self.names(), 10, begin=BEGIN))
        with self.server() as server, Stream(self.connect(server.url), self.symbols) as stream:
            connection = self._subscribe(stream)
            server.send(*map(self.trade, before))
            stream.wait_for([*map(self.trade, before)])
            FAULTS[name](server, self.trade(after[0]))
            stream.wait_for_subscription(after=connection)
            # As providers do that tell the last trades again.
            server.send(*map(self.trade, (*before[-5:], *after)))
            stream.wait_for([*map(self.trade, (*before, *before[-5:], *after))])
        self._check_complete((*before, *after), self._heard(stream), what=f"after {name}")

    def _stall(self) -> None:
        connector = self.connect()
        silence = SilenceDetector(
            {connector.symbol_of(symbol): calendar(ALWAYS) for symbol in self.symbols}, patience=_PATIENCE
        )
        (first, *_), (last, *_) = _halves(trades(self.names(), 2, begin=BEGIN))
        with self.server() as server, Stream(self.connect(server.url), self.symbols, silence=silence) as stream:
            connection = self._subscribe(stream)
            server.send(self.trade(first))
            stream.wait_for([self.trade(first)])
            wait_until(
                lambda: any(change.state is State.STALLED for change in list(stream.changes)),
                lambda: "a connection without data counts as stalled: does `receive` call something else data?",
            )
            stream.wait_for_subscription(after=connection)
            wait_until(
                partial(self._reaches, server, stream, self.trade(last)),
                lambda: "a connection after a stall gets no data",
            )

    def _reaches(self, server: LiveServer, stream: Stream, frame: bytes) -> bool:
        """Send a frame, and tell whether it ever arrived: on a slow machine, the next stall may be here already."""
        with contextlib.suppress(ConnectionClosed):
            server.send(frame)
        return frame in stream.received

    def _subscribe(self, stream: Stream) -> int:
        connection = stream.wait_for_subscription()
        assert not stream.failed, f"channels were refused: {stream.failed}"
        return connection

    def _heard(self, stream: Stream) -> list[Event]:
        connector = self.connect()
        heard = [event for frame in stream.received for event in check_frame(connector, frame)]
        assert not [event for event in heard if isinstance(event, Rejected)], "frames of the server were rejected"
        return heard

    def _check_complete(self, made: Iterable[Trade], heard: Iterable[Event], *, what: str) -> None:
        """Check that each trade is there, once by its identity. What else the server told is of no interest."""
        connector = self.connect()
        expected = {_identity(tick): tick for tick in (self._tick(trade, connector) for trade in made)}
        found = {_identity(event): event for event in heard if isinstance(event, Tick)}
        missing = [tick for identity, tick in expected.items() if identity not in found]
        assert not missing, f"{what}: {len(missing)} of {len(expected)} trades are missing, the first is {missing[0]}"
        for identity, tick in expected.items():
            assert found[identity] == tick, f"{what}: one trade came as {tick} and as {found[identity]}"

    # History against gaps.

    def _fetch(self, server: PastServer, symbol: str, begin: int, end: int) -> list[Event]:
        connector = self.connect(server.url)
        history = connector.history()
        assert history is not None, "the kit was given `past`, and the connector has no history"
        found = fetch(history, Span(connector.symbol_of(symbol), symbol, begin, end))
        for event in found:
            check_event(event, b"(of the history)")
            assert not isinstance(event, Rejected), f"a result of the server was rejected: {event}"
        return found

    def _history(self) -> None:
        made = trades(self.names(), 60, begin=BEGIN)
        failures = [(429, b"{}"), (500, b"{}"), (503, b"<html>Service Unavailable</html>")]
        connector = self.connect()
        with self.past_server(made, failures) as server:
            for symbol, name in zip(self.symbols, self.names(), strict=True):
                own = [trade for trade in made if trade.symbol == name]
                for first, last in ((0, len(own) - 1), (len(own) // 3, len(own) // 2), (5, 5)):
                    begin, end = own[first].time, own[last].time + MILLISECOND
                    expected = [self._tick(trade, connector) for trade in own if begin <= trade.time < end]
                    found = [event for event in self._fetch(server, symbol, begin, end) if isinstance(event, Tick)]
                    told = f"history of {symbol} from {begin} to {end}"
                    assert len({_identity(tick) for tick in found}) <= len(found) <= len(expected), (
                        f"{told}: {len(found)} trades of {len(expected)}"
                    )
                    assert sorted(found, key=_order) == sorted(expected, key=_order), (
                        f"{told}: not the ticks that the WebSocket has: {found} instead of {expected}"
                    )
                hour = 3600 * SECOND
                assert self._fetch(server, symbol, BEGIN - 2 * hour, BEGIN - hour) == [], "trades before the first one"

    def _history_errors(self) -> None:
        history = self.connect().history()
        assert history is not None, "the kit was given `past`, and the connector has no history"
        span = Span(self.names()[0], self.symbols[0], BEGIN, BEGIN + 60 * SECOND)
        for status in _STATUSES:
            for body in _BODIES:
                told = f"an answer {status} with {body[:40]!r}"
                found = _outcome(history, span, HistoryAnswer(status, {}, body), told)
                assert status == 200 or isinstance(found, HistoryError), f"{told} became a page"
                assert status != 429 or isinstance(found, RateLimitedError), (
                    f"{told} is not RateLimitedError: {found!r}"
                )
                passes = isinstance(found, TransientError | RateLimitedError)
                assert status < 500 or passes, f"{told} is not tried again: {found!r}"
                if isinstance(found, Page):
                    read = [event for frame in found.frames for event in decode_history(history, frame)]
                    assert not [event for event in read if isinstance(event, Tick)], f"{told} has trades: {read}"

    def _campaign(self, seed: int) -> None:
        """Outages of all kinds while the market trades; then what they missed comes from the history."""
        chance = random.Random(seed)  # noqa: S311
        made = trades(self.names(), 60, begin=BEGIN, seed=seed)
        heard: list[Event] = []
        with self.server() as server, Stream(self.connect(server.url), self.symbols) as stream:
            outages, sent = self._live(server, stream, made, chance)
            stream.wait_for(sent)
            heard += self._heard(stream)
        missed = {place for outage in outages for place in range(outage.first, outage.end)}
        assert missed, "the campaign has no outage"
        if self.past is None:
            received = [trade for place, trade in enumerate(made) if place not in missed]
            self._check_complete(received, heard, what=f"seed {seed}")
            return
        with self.past_server(made) as past:
            for outage in outages:
                # From the last trade before it to the first one after it, as a repair does: some come twice.
                begin, end = made[max(outage.first - 1, 0)].time, made[min(outage.end, len(made) - 1)].time
                for symbol in self.symbols:
                    heard += self._fetch(past, symbol, begin, end + MILLISECOND)
        self._check_complete(made, heard, what=f"seed {seed}")

    def _live(
        self, server: LiveServer, stream: Stream, made: Sequence[Trade], chance: random.Random
    ) -> tuple[list[_Outage], list[bytes]]:
        """Trade, with outages; returns them and the frames that were sent."""
        outages: list[_Outage] = []
        sent: list[bytes] = []
        connection = self._subscribe(stream)
        at = 0
        while at < len(made):
            burst = made[at : at + chance.randint(5, 30)]
            told = [*map(self.trade, (*made[max(at - chance.randint(0, 3), 0) : at], *burst))] if outages else []
            told = told or [*map(self.trade, burst)]
            server.send(*told)
            sent += told
            stream.wait_for(sent)
            at += len(burst)
            if at < len(made):
                end = min(at + chance.randint(1, 10), len(made) - 1)
                FAULTS[chance.choice(list(FAULTS))](server, self.trade(made[at]))
                outages.append(_Outage(at, end))
                at = end
                connection = stream.wait_for_subscription(after=connection)
        return outages, sent


def _identity(tick: Tick) -> tuple[Any, ...]:
    """By what a trade that comes again is recognised."""
    if tick.trade_id is not None:
        return (tick.symbol, tick.exchange, tick.trade_id)
    return (tick.symbol, tick.exchange, tick.time, tick.price, tick.size)


def _order(tick: Tick) -> str:
    return repr((tick.time, tick.trade_id, tick.price, tick.size))


def _outcome(history: History, span: Span, answer: HistoryAnswer, told: str) -> Page | HistoryError:
    """What an answer, as it is `told`, means."""
    try:
        page = history.page(span, history.first(span), answer)
    except HistoryError as error:
        return error
    except Exception as error:
        raise AssertionError(f"{told} raised {error!r}, which is no HistoryError") from error
    assert isinstance(page, Page), f"{told} became {page!r}"
    return page


def _halves(made: Sequence[Trade]) -> tuple[list[Trade], list[Trade]]:
    return list(made[: len(made) // 2]), list(made[len(made) // 2 :])
