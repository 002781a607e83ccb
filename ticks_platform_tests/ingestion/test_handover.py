"""Planned hand-overs, event by event: what was sent, and what is in the table."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from ticks_platform.feeds.connections import FeedConnections
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import claim, loader
from ticks_platform.ingestion.stream import Ingestion
from ticks_platform.standin import StandIn, StandInSettings
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.helpers import rows, unbalanced

SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlaps take seconds in real life."""
    monkeypatch.setattr(claim, "OVERLAP", 0.5)
    monkeypatch.setattr(loader, "LAG", 0.3)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)


@pytest.fixture
def feed() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": list(SYMBOLS)}
    )


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A market of a thousand ticks a second that records what it sends, and is mute at first."""
    with StandIn(StandInSettings(rate=1000, record=True, max_connections=9)) as server:
        server.go_mute()
        yield server


class Follow(Protocol):
    def __call__(self, owner: str, **changes: Any) -> Ingestion: ...


@pytest.fixture
def follow(feed: FeedSettings, stand_in: StandIn, database: Database, tmp_path: Path) -> Follow:
    """Makes an ingestion that follows as planned whoever has the feed."""

    def make(owner: str, **changes: Any) -> Ingestion:
        return Ingestion(
            feed=feed.model_copy(update=changes),
            connector=feed.connector(stand_in_url=stand_in.url("twelve_data", key=None)),
            database=database,
            owner=owner,
            journal_file=tmp_path / "journal" / "test.sqlite3",
            follow=True,
        )

    return make


@pytest.fixture
def witness(feed: FeedSettings, stand_in: StandIn) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A client of its own that is connected all the time; what it was sent."""
    connections = FeedConnections(
        feed.connector(stand_in_url=stand_in.url("twelve_data", key=None)),
        symbols=SYMBOLS,
        capacity=None,
        on_frames=lambda _frames: None,
        on_change=lambda _change: None,
    )
    thread = threading.Thread(target=connections.run)
    thread.start()
    await_subscribed(stand_in, 1)
    yield lambda: stand_in.account().connections[0].price_events_sent()
    connections.stop()
    thread.join()


def eventually(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def await_subscribed(stand_in: StandIn, connections: int) -> None:
    """Wait until so many connections are subscribed to everything."""
    eventually(
        f"{connections} connections are subscribed",
        lambda: (
            [
                len(each.subscribed) == len(SYMBOLS) for each in stand_in.account().connections if each.ending is None
            ].count(True)
            >= connections
        ),
    )


def owner(database: Database) -> str | None:
    found = rows(database, "SELECT owner FROM ticks_platform.feed_lease WHERE released_at IS NULL")
    return found[0][0] if found else None


def await_settled(database: Database, successor: str) -> None:
    """Wait until this one has the feed, and knows what it has received twice."""
    query = f"SELECT settled_at IS NOT NULL FROM ticks_platform.feed_handover WHERE successor = '{successor}'"
    eventually(f"{successor} has taken over", lambda: rows(database, query) == [(True,)])


def count(database: Database) -> int:
    return int(rows(database, "SELECT count(*) FROM stocks_real_time")[0][0])


def event(sent: dict[str, Any]) -> tuple[Any, ...]:
    return (sent["symbol"], sent["timestamp"], sent["price"], sent.get("day_volume"), sent.get("bid"), sent.get("ask"))


def stored(database: Database) -> list[tuple[Any, ...]]:
    """What is in the table, in the order of the candles."""
    return rows(
        database,
        "SELECT symbol, extract(epoch FROM time)::bigint, price, day_volume, bid, ask FROM stocks_real_time "
        "ORDER BY tick_id",
    )


def check_event_by_event(database: Database, sent: list[dict[str, Any]]) -> None:
    """Wait until as many ticks have landed as were sent: they are the same ones, each symbol's in the same order."""
    eventually("all is loaded", lambda: count(database) >= len(sent))
    # In the order of arrival within each second, as the stamps are.
    events, found = sorted(map(event, sent), key=lambda each: int(each[1])), stored(database)
    assert Counter(found) - Counter(events) == Counter(), "stored more than once"
    assert Counter(events) - Counter(found) == Counter(), "lost"
    for symbol in SYMBOLS:
        assert [each for each in found if each[0] == symbol] == [each for each in events if each[0] == symbol]
    assert unbalanced(database) == []
    assert rows(database, "SELECT count(DISTINCT tick_id) FROM stocks_real_time") == [(len(sent),)]


def repeat(stand_in: StandIn, times: int) -> None:
    """Send one and the same event so often, at short intervals, sometimes several in one go."""
    same = json.dumps(
        {"event": "price", "symbol": "EUR/USD", "timestamp": int(time.time()), "price": 1.25, "bid": 1.24, "ask": 1.26}
    )
    for number in range(times):
        stand_in.inject(*[same] * (1 + number % 3))
        time.sleep(0.02)


def test_two_in_a_row_lose_nothing_and_double_nothing(
    follow: Follow, stand_in: StandIn, database: Database, witness: Callable[[], list[dict[str, Any]]]
) -> None:
    """At a thousand ticks a second, among them the same ones again and again."""
    with ExitStack() as stack:
        ingestions = [stack.enter_context(follow("first"))]
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks have landed", lambda: count(database) > 500)
        repeating = threading.Thread(target=repeat, args=(stand_in, 200))
        repeating.start()
        for successor in ("second", "third"):
            ingestions.append(stack.enter_context(follow(successor)))
            await_settled(database, successor)
            before, after = ingestions[-2:]
            assert before.wait(10), "the predecessor ends by itself"
            assert (before.successor, after.successor) == (successor, None)
            assert owner(database) == successor
        repeating.join()
        eventually("the last one loads", lambda: ingestions[-1].progress().loaded > 500)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    left_out = rows(database, "SELECT left_out, closed_at > taken_at FROM ticks_platform.feed_handover ORDER BY epoch")
    assert [closed for _, closed in left_out] == [True, True]
    assert all(count > 300 for count, _ in left_out), "half a second of both"
    assert rows(database, "SELECT sum(duplicate) FROM ticks_platform.feed_ledger") == [(sum(n for n, _ in left_out),)]
    for left in ingestions:
        assert left.progress().trouble is None
