"""One or several connections of a feed, against a stand-in of Polygon.io."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.transport import reconnect
from ticks_platform.feeds.transport.pool import ConnectionPool, spread
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform_tests.support.feeds import TIMEOUT, Peer, PeerServer, polygon, polygon_at, twelve_data, wait_until
from ticks_standin import StandIn, StandInSettings


def test_spread() -> None:
    assert spread("ABCDE", [], capacity=None) == [list("ABCDE")]
    groups = spread("ABCDE", [], capacity=2)
    assert groups == [["A", "B"], ["C", "D"], ["E"]]
    assert spread("EDCBA", groups, capacity=2) == groups
    # New symbols take the room of removed ones; the others keep their group.
    groups = spread("BCDEFG", groups, capacity=2)
    assert groups == [["B", "F"], ["C", "D"], ["E", "G"]]
    assert spread("B", groups, capacity=2) == [["B"], [], []]
    assert spread("BXYZ", [["B"], [], []], capacity=2) == [["B", "X"], ["Y", "Z"], []]
    assert spread("", [], capacity=2) == []


class Several:
    """A ConnectionPool in a thread."""

    def __init__(self, connector: Connector, symbols: Sequence[str], capacity: int | None) -> None:
        self.frames: list[Frame] = []
        self.changes: list[Change] = []
        self.failure: BaseException | None = None
        self.feed = ConnectionPool(
            connector,
            symbols=symbols,
            capacity=capacity,
            on_frames=self.frames.extend,
            on_change=self.changes.append,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.feed.run()
        except FeedRefusedError as error:
            self.failure = error

    def states(self, state: State) -> int:
        return sum(change.state is state and change.notice is None for change in list(self.changes))

    def join(self) -> None:
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive(), "still running"


@contextmanager
def several(connector: Connector, symbols: Sequence[str], capacity: int | None) -> Iterator[Several]:
    running = Several(connector, symbols, capacity)
    running.thread.start()
    try:
        yield running
    finally:
        running.feed.stop()
        running.join()


def held(stand_in: StandIn) -> list[list[str]]:
    """The channels of each open connection."""
    return sorted(sorted(each.subscribed) for each in stand_in.account().connections if each.ending is None)


def test_several_connections() -> None:
    with StandIn(StandInSettings(rate=500, max_connections=10)) as stand_in:
        with several(polygon_at(stand_in), ["AAPL", "MSFT", "NVDA", "AMZN", "TSLA"], 2) as running:
            first = [["T.AAPL", "T.MSFT"], ["T.AMZN", "T.NVDA"], ["T.TSLA"]]
            wait_until(lambda: held(stand_in) == first, "spread")
            wait_until(lambda: running.feed.state is State.STREAMING, "streaming")
            wait_until(lambda: {frame.connection for frame in running.frames} == {1, 2, 3}, "data of all")

            running.feed.set_symbols(["TSLA", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "AMD"])
            then = [["T.AMD"], ["T.AMZN", "T.NVDA"], ["T.GOOGL", "T.MSFT"], ["T.META", "T.TSLA"]]
            wait_until(lambda: held(stand_in) == then, "spread again")
            wait_until(lambda: running.feed.state is State.STREAMING, "streaming")
            assert running.states(State.CONNECTING) == 4
            assert running.feed.unhealthy == frozenset()
        assert running.feed.state is State.CLOSED
        assert running.states(State.BACKING_OFF) == 0
        assert running.states(State.CLOSED) == 4


def test_one_connection_without_a_limit() -> None:
    with StandIn(StandInSettings(rate=200)) as stand_in:
        with several(polygon_at(stand_in), ["AAPL", "MSFT", "NVDA"], None) as running:
            wait_until(lambda: held(stand_in) == [["T.AAPL", "T.MSFT", "T.NVDA"]], "one")
            running.feed.set_symbols(["AAPL"])
            wait_until(lambda: held(stand_in) == [["T.AAPL"]], "one")
            running.feed.set_symbols([])
            wait_until(lambda: held(stand_in) == [[]], "none")
            running.feed.set_symbols(["AMD"])
            wait_until(lambda: held(stand_in) == [["T.AMD"]], "one")
        assert running.states(State.CONNECTING) == 1


def test_a_refusal_of_one_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.1)
    with (
        StandIn(StandInSettings(keys=frozenset({"good"}))) as stand_in,
        several(polygon_at(stand_in), ["AAPL", "MSFT", "NVDA"], 1) as running,
    ):
        running.join()
        assert isinstance(running.failure, FeedRefusedError)


def test_no_connection_is_opened_after_the_stop() -> None:
    with StandIn(StandInSettings(rate=0, max_connections=10)) as stand_in:
        with several(polygon_at(stand_in), ["AAPL"], 1) as running:
            wait_until(lambda: held(stand_in) == [["T.AAPL"]], "one")
            running.feed.stop()
            running.feed.set_symbols(["AAPL", "MSFT", "NVDA"])
            running.join()
            running.feed.set_symbols(["AMZN", "TSLA"])
        wait_until(lambda: held(stand_in) == [], "none")
        assert running.states(State.CONNECTING) == 1


def test_a_stop_before_the_start() -> None:
    running = Several(polygon("ws://127.0.0.1:1"), ["AAPL", "MSFT"], 1)
    running.feed.stop()
    running.thread.start()
    running.join()
    assert running.states(State.CONNECTING) == 0


def test_what_one_connection_is_told_holds_for_all() -> None:
    """The server asks the second connection to come again later, and ends the first one a moment after that."""
    paused = threading.Event()
    numbers = itertools.count(1)
    asked: list[float] = []
    again: list[float] = []

    def serve(peer: Peer) -> None:
        number = next(numbers)
        if number == 2:
            asked.append(time.monotonic())
            peer.answer("429 Too Many Requests", b"", "Retry-After: 1")
            paused.set()
            return
        again.extend([time.monotonic()] if number > 2 else [])
        peer.upgrade()
        if number > 1:
            peer.receive_until_end()
        else:
            assert paused.wait(TIMEOUT)

    with PeerServer(serve) as server, several(twelve_data(server.url), ["AAPL", "MSFT"], capacity=1) as running:
        wait_until(lambda: running.states(State.SUBSCRIBING) == 3, "both are connected again")
    assert len(again) == 2
    assert min(again) - asked[0] >= 1.0
