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
from ticks_platform.feeds.events import ARRIVAL, Acknowledged, Authenticated, Control, Event, Notice, Rejected, Tick
from ticks_platform.feeds.history import HistoryError
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import State
from ticks_platform.testing import past_cases
from ticks_platform.testing.frames import check_frame, check_many, check_zones, damaged, identity
from ticks_platform.testing.live import FAULTS, Answer, LiveServer, Stream, wait_until
from ticks_platform.testing.market import BEGIN, Trade, trades
from ticks_platform.testing.past import PastServer
from ticks_platform.timestamps import MILLISECOND, MINUTE

_PATIENCE = 0.2
"""Seconds without data after which the kit's connection counts as stalled."""


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
    batch: Callable[[Sequence[Trade]], bytes] | None = None
    """The frame that tells several trades, if the provider has such frames: each of them has to be decoded."""
    errors: Sequence[tuple[int, Any, type[HistoryError]]] = ()
    """What the REST API says instead of results, be it with a status of 200: status, body, and the error it means."""
    refused: str | None = None
    """A symbol that `answer` refuses; the others have to stream."""
    results_per_page: int | None = None
    """How many results `past` has on a page, if fewer than `History.results_per_page`."""

    def cases(self, *, seeds: Iterable[int] = (1, 2)) -> list[Case]:
        """All cases; one campaign of faults and repairs for each seed."""
        found = [
            Case("a trade is a tick", self._trade_is_a_tick),
            Case("the time zone of the machine does not matter", self._time_zones),
            Case("a subscription is requested and confirmed", self._subscription),
            Case("recorded frames are read", self._recorded_frames),
            Case("damaged frames harm nothing", self._damaged_frames),
            Case("frames mean the same together", self._together),
            *(Case(f"it recovers from {name}", partial(self._recovers, name)) for name in FAULTS),
            Case("it recovers from a stall", self._stall),
        ]
        if self.batch is not None:
            found.insert(1, Case("a frame of several trades has each of them", self._several))
        if self.refused is not None:
            found.append(Case("a symbol that is refused is told, and the others stream", self._refusal))
        if self.past is not None:
            found += [
                Case("history has each trade once", partial(past_cases.each_once, self)),
                Case("history stands any answer", partial(past_cases.any_answer, self)),
                Case("damaged answers of the history harm nothing", partial(past_cases.damaged_answers, self)),
            ]
            if self.errors:
                found.append(Case("errors of the history are what they mean", partial(past_cases.told_errors, self)))
            if (self.results_per_page or past_cases.history_of(self).results_per_page) <= past_cases.MOST_RESULTS:
                found.append(Case("history reads all pages", partial(past_cases.all_pages, self)))
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

    def tick(self, trade: Trade, connector: Connector) -> Tick:
        """The tick of a trade, after checks that it is that trade. Raises AssertionError."""
        frame = self.trade(trade)
        found = check_frame(connector, frame)
        ticks = [event for event in found if isinstance(event, Tick)]
        assert len(ticks) == 1, f"the frame {frame!r} of one trade gave {found}"
        (tick,) = ticks
        assert connector.converse().receive(frame).has_data, "receive does not say that a frame with a trade is data"
        assert tick.symbol == trade.symbol, f"the symbol is {tick.symbol!r}, but symbol_of says {trade.symbol!r}"
        assert tick.time == ARRIVAL or abs(tick.time - trade.time) < self.resolution, (
            f"a trade at {trade.time} ns became a tick at {tick.time} ns: {_how_far(tick.time, trade.time)}"
        )
        assert tick.price == trade.price, f"a price of {trade.price} became {tick.price}"
        assert tick.size in (None, trade.size), f"a size of {trade.size} became {tick.size}"
        assert not tick.malformed, f"fields of a good frame count as malformed: {tick.malformed}"
        return tick

    def _trade_is_a_tick(self) -> None:
        connector = self.connect()
        made = trades(self.names(), 30, begin=BEGIN)
        ticks = [self.tick(trade, connector) for trade in made]
        assert ticks == [self.tick(trade, self.connect()) for trade in made], "it depends on more than the frame"
        numbered = [tick for tick in ticks if tick.trade_id is not None]
        assert len({identity(tick) for tick in numbered}) == len(numbered), (
            "two trades have one trade_id: leave it out if the provider's is not unique per symbol, exchange and day"
        )

    def _several(self) -> None:
        assert self.batch is not None
        made = trades(self.names(), 5, begin=BEGIN)
        connector = self.connect()
        frame = self.batch(made)
        ticks = [event for event in check_frame(connector, frame) if isinstance(event, Tick)]
        expected = [self.tick(trade, connector) for trade in made]
        assert ticks == expected, f"a frame of {len(made)} trades gave {len(ticks)}: {ticks} instead of {expected}"
        check_many(connector, [frame, self.trade(made[0]), frame])

    def _time_zones(self) -> None:
        frames = [self.trade(trade) for trade in trades(self.names(), 3, begin=BEGIN)]
        check_zones(self.connect(), [*frames, *self.recorded])

    def _subscription(self) -> None:
        """What a transport relies on, told in words: the campaign would only wait in vain."""
        connector = self.connect()
        conversation = connector.converse()
        channels: list[str] = []
        for symbol in self.symbols:
            names = connector.channels(symbol)
            assert not isinstance(names, str), (
                f"channels({symbol!r}) returned the text {names!r}: return a tuple of texts"
            )
            channels += names
        opening = _messages("opening", conversation.opening())
        subscribe = _messages("subscribe", conversation.subscribe(channels))
        assert subscribe, f"subscribe returned no message for {channels}"
        _messages("unsubscribe", connector.converse().unsubscribe(channels))
        if conversation.heartbeat_interval is not None:
            _messages("heartbeat", [conversation.heartbeat()])
        key = self.api_key
        assert not key or key not in connector.endpoint().public_url, "public_url has the API key, and it is logged"
        said: list[str] = []
        notices: list[Notice] = []
        for message in (None, *opening, *subscribe):
            said += [] if message is None else [message]
            for frame in self.greeting if message is None else self.answer(said):
                check_frame(connector, frame)
                reaction = conversation.receive(frame)
                assert not reaction.has_data or any(
                    not isinstance(event, Control) for event in connector.decode(frame)
                ), f"receive says has_data=True of {frame!r}, which has no market data"
                notices += reaction.notices
        assert not conversation.authenticates or any(isinstance(notice, Authenticated) for notice in notices), (
            "authenticates is True, and receive returned no Authenticated() for the answers to `opening`"
        )
        confirmed = {name for notice in notices if isinstance(notice, Acknowledged) for name in notice.channels}
        missing = [name for name in channels if name not in confirmed]
        assert not missing, (
            f"receive confirmed {sorted(confirmed) or 'nothing'}, and not {missing}: for the provider's confirmation, "
            "return Reaction(notices=(Acknowledged(channels),)), named as `channels` and `subscribe` have them"
        )

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

    def _refusal(self) -> None:
        assert self.refused is not None
        refused = set(self.connect().channels(self.refused))
        made = trades(self.names(), 2, begin=BEGIN)
        with self.server() as server, Stream(self.connect(server.url), [*self.symbols, self.refused]) as stream:
            others = stream.channels - refused
            wait_until(
                lambda: refused <= set(stream.failed) and others <= stream.confirmed,
                lambda: (
                    f"{sorted(refused)} should be refused, and {sorted(others)} confirmed: refused are "
                    f"{stream.failed}, confirmed are {sorted(stream.confirmed)}; let receive return ChannelsFailed, or "
                    "RequestRefused if the provider refuses a whole message"
                ),
            )
            server.send(*map(self.trade, made))
            stream.wait_for([*map(self.trade, made)])
        assert all(stream.failed[name] for name in refused), "a channel is refused without a reason"

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
        expected = {identity(tick): tick for tick in (self.tick(trade, connector) for trade in made)}
        found = {identity(event): event for event in heard if isinstance(event, Tick)}
        missing = [tick for named, tick in expected.items() if named not in found]
        assert not missing, f"{what}: {len(missing)} of {len(expected)} trades are missing, the first is {missing[0]}"
        for named, tick in expected.items():
            assert found[named] == tick, f"{what}: one trade came as {tick} and as {found[named]}"

    def _campaign(self, seed: int) -> None:
        """Outages of all kinds while the market trades; then what they missed comes from the history."""
        chance = random.Random(seed)  # noqa: S311
        is_bars = self.past is not None and past_cases.history_of(self).kind == "bars"
        made = trades(self.names(), 60, begin=BEGIN, seed=seed)
        made = past_cases.stretched(made) if is_bars else made
        heard: list[Event] = []
        with self.server() as server, Stream(self.connect(server.url), self.symbols) as stream:
            outages, sent = self._live(server, stream, made, chance)
            stream.wait_for(sent)
            heard += self._heard(stream)
        missed = {place for outage in outages for place in range(outage.first, outage.end)}
        assert missed, "the campaign has no outage"
        if self.past is None or is_bars:
            received = [trade for place, trade in enumerate(made) if place not in missed]
            self._check_complete(received, heard, what=f"seed {seed}")
        if self.past is None:
            return
        with self.past_server(made) as past:
            for outage in outages:
                # From the last trade before it to the first one after it, as a repair does: some come twice.
                begin, end = made[max(outage.first - 1, 0)].time, made[min(outage.end, len(made) - 1)].time
                end += MINUTE if is_bars else MILLISECOND
                for symbol, name in zip(self.symbols, self.names(), strict=True):
                    found = past_cases.fetched(self, past, symbol, begin, end)
                    heard += found
                    if is_bars:
                        missed_trades = [trade for trade in made if trade.symbol == name]
                        past_cases.check(self, missed_trades, found, begin, end, told=f"seed {seed}")
        if not is_bars:
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


def _messages(of: str, given: Any) -> list[str]:
    """What a conversation wants to send, after checks that it can be sent."""
    assert not isinstance(given, str), f"{of} returned the text {given!r}: return a list of messages"
    messages = list(given)
    for message in messages:
        assert isinstance(message, str), f"{of} returned {message!r}, a {type(message).__name__}: messages are texts"
    return messages


def _how_far(found: int, right: int) -> str:
    """A wrong time, in words that name its likely cause."""
    seconds = (found - right) / 1e9
    if 60 <= abs(seconds) < 90_000 and round(seconds) % 900 == 0:
        return f"{seconds / 3600:+.4g} hours: is a time without a zone read as local time?"
    return f"{found / right:.4g} times as much: is the unit nanoseconds?"


def _halves(made: Sequence[Trade]) -> tuple[list[Trade], list[Trade]]:
    return list(made[: len(made) // 2]), list(made[len(made) // 2 :])
