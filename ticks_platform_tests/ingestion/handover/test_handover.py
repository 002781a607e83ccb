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

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.pool import ConnectionPool
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.handover import takeover
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import follower
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.follower import Order
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_standin import StandIn, StandInSettings

SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD")
OVERLAP = 1.2
"""Seconds."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlaps take seconds in real life, but more than the one whose events both owners are taken to have received."""
    monkeypatch.setattr(takeover, "OVERLAP", OVERLAP)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)


@pytest.fixture
def feed() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": list(SYMBOLS)}
    )


@pytest.fixture
def rate() -> int:
    """Ticks a second."""
    return 300


@pytest.fixture
def stand_in(rate: int) -> Iterator[StandIn]:
    """A market that records what it sends, and is mute at first."""
    with StandIn(StandInSettings(rate=rate, record=True, max_connections=9)) as server:
        server.go_mute()
        yield server


class Follow(Protocol):
    def __call__(self, owner: str, *, planned: bool = True, **changes: Any) -> Ingestion: ...


@pytest.fixture
def journal_file(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "test.sqlite3"


@pytest.fixture
def follow(feed: FeedSettings, stand_in: StandIn, database: Database, journal_file: Path) -> Follow:
    """Makes an ingestion that follows whoever has the feed, as planned or else at once."""

    def make(owner: str, *, planned: bool = True, **changes: Any) -> Ingestion:
        return Ingestion(
            feed=feed.model_copy(update=changes),
            connector=feed.connector(stand_in_url=stand_in.url("twelve_data", key=None)),
            database=database,
            owner=owner,
            journal_file=journal_file,
            follow=planned,
        )

    return make


@pytest.fixture
def start(
    feed: FeedSettings, stand_in: StandIn, database_url: str, journal_file: Path
) -> Iterator[Callable[..., Child]]:
    """Starts an ingestion in a process of its own, which follows as planned."""
    started: list[Child] = []

    def start(
        owner: str, *, overlap: float = OVERLAP, compares_after: Path | None = None, dies_half_way: bool = False
    ) -> Child:
        order = Order(
            feed=feed.model_dump(mode="json"),
            url=stand_in.url("twelve_data", key=None),
            database=database_url,
            journal=str(journal_file),
            owner=owner,
            overlap=overlap,
            compares_after=None if compares_after is None else str(compares_after),
            dies_half_way=dies_half_way,
        )
        started.append(Child(follower.main, order))
        return started[-1]

    yield start
    for victim in started:
        victim.kill()


@pytest.fixture
def witness(feed: FeedSettings, stand_in: StandIn) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A client of its own that is connected all the time; what it was sent."""
    connections = ConnectionPool(
        feed.connector(stand_in_url=stand_in.url("twelve_data", key=None)),
        symbols=SYMBOLS,
        capacity=None,
        on_frames=lambda _frames: None,
        on_change=lambda _change: None,
    )
    thread = threading.Thread(target=connections.run, daemon=True)
    thread.start()
    await_subscribed(stand_in, 1)
    yield lambda: stand_in.account().connections[0].price_events_sent()
    connections.stop()
    thread.join()


def eventually(what: str, condition: Callable[[], Any], seconds: float = 100.0) -> None:
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


@pytest.mark.parametrize("rate", [1000])
def test_two_in_a_row_lose_nothing_and_double_nothing(
    follow: Follow, stand_in: StandIn, database: Database, witness: Callable[[], list[dict[str, Any]]]
) -> None:
    """At a thousand ticks a second, among them the same ones again and again."""
    with ExitStack() as stack:
        ingestions = [stack.enter_context(follow("first"))]
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks have landed", lambda: count(database) > 500)
        repeating = threading.Thread(target=repeat, args=(stand_in, 200), daemon=True)
        repeating.start()
        for successor in ("second", "third"):
            ingestions.append(stack.enter_context(follow(successor)))
            await_settled(database, successor)
            before, after = ingestions[-2:]
            assert before.wait(60), "the predecessor ends by itself"
            assert (before.successor, after.successor) == (successor, None)
            assert owner(database) == successor
        repeating.join()
        eventually("the last one loads", lambda: ingestions[-1].progress().loaded > 500)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    left_out = rows(database, "SELECT left_out, closed_at > taken_at FROM ticks_platform.feed_handover ORDER BY epoch")
    assert [closed for _, closed in left_out] == [True, True]
    assert all(twice > 50 for twice, _ in left_out), "a second of both"
    assert rows(database, "SELECT sum(duplicate) FROM ticks_platform.feed_ledger") == [(sum(n for n, _ in left_out),)]
    for left in ingestions:
        assert left.progress().trouble is None


def await_all_in_journal(stand_in: StandIn, connection: int, journal: Path) -> None:
    """Wait until all that a muted stand-in has sent by this connection stands in a journal."""

    def arrived() -> bool:
        with journal_view(journal) as looked_at:
            return looked_at.frames_appended == stand_in.account().connections[connection].frames

    eventually("what was sent is journalled", arrived)


def test_predecessor_is_killed_in_the_overlap(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
) -> None:
    """The successor takes over as it would have, and finds in its predecessor's journal what it had not stored."""
    victim = start("first")
    await_subscribed(stand_in, 2)
    stand_in.unmute()
    eventually("ticks have landed", lambda: count(database) > 300)
    with follow("second") as second:
        await_subscribed(stand_in, 3)
        victim.kill()
        await_settled(database, "second")
        loaded = second.progress().loaded
        eventually("it loads", lambda: second.progress().loaded > loaded + 300)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    assert rows(database, "SELECT closed_at FROM ticks_platform.feed_handover") == [(None,)]


def test_successor_is_killed_before_it_takes_over(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
) -> None:
    """The predecessor goes on; what the dead one has in its journal is none of the next successor's."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        victim = start("second", overlap=600.0)
        await_subscribed(stand_in, 3)
        stand_in.send_exactly(100)
        victim.kill()
        loaded = first.progress().loaded
        eventually("the first one goes on", lambda: first.progress().loaded > loaded + 300)
        assert owner(database) == "first"
        stack.enter_context(follow("third"))
        await_settled(database, "third")
        assert first.wait(60)
        stand_in.send_exactly(500)
        stand_in.go_mute()
        check_event_by_event(database, witness())


def test_successor_is_killed_before_it_knows_what_was_received_twice(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
    journal_file: Path,
    tmp_path: Path,
) -> None:
    """Whoever comes next decides it in its place."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks have landed", lambda: count(database) > 300)
        victim = start("second", compares_after=tmp_path / "never")
        eventually("the first one is followed", lambda: first.wait(0))
        stand_in.send_exactly(500)
        stand_in.go_mute()
        await_all_in_journal(stand_in, 2, journal_pair(journal_file)[1])
        victim.kill()
        stack.enter_context(follow("third", planned=False))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        stand_in.send_exactly(500)
        stand_in.go_mute()
        check_event_by_event(database, witness())


def test_successor_is_killed_half_way_through_the_overlap(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
    journal_file: Path,
    tmp_path: Path,
) -> None:
    """What it had decided is written down: the next one goes on by it."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks have landed", lambda: count(database) > 300)
        victim = start("second", compares_after=tmp_path / "now", dies_half_way=True)
        eventually("the first one is followed", lambda: first.wait(0))
        stand_in.go_mute()
        await_all_in_journal(stand_in, 2, journal_pair(journal_file)[1])
        (tmp_path / "now").touch()
        victim.wait(60)
        ((duplicates, left_out),) = rows(
            database,
            "SELECT (SELECT sum(duplicate)::int FROM ticks_platform.feed_ledger), left_out "
            "FROM ticks_platform.feed_handover",
        )
        assert 0 < duplicates < left_out
        stack.enter_context(follow("third", planned=False))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        stand_in.send_exactly(500)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    assert rows(database, "SELECT sum(duplicate) FROM ticks_platform.feed_ledger") == [(left_out,)]


def test_where_one_connection_is_all_there_is_the_new_one_waits_for_the_end_of_the_old_one(
    follow: Follow, stand_in: StandIn, database: Database, witness: Callable[[], list[dict[str, Any]]]
) -> None:
    """Something is missed, but nothing that reached a socket."""
    stand_in.limit_connections(2)
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks have landed", lambda: count(database) > 300)
        stack.enter_context(follow("second", overlap=False))
        eventually("the first one ends", lambda: first.wait(0))
        assert first.successor == "second"
        await_subscribed(stand_in, 2)
        eventually("the second one has events", lambda: stand_in.account().connections[-1].price_events > 500)
        stand_in.go_mute()
        _, *used = stand_in.account().connections
        assert len(used) == 2, "neither was ended by the provider, and came back"
        check_event_by_event(database, [each for connection in used for each in connection.price_events_sent()])
    assert len(witness()) > count(database)
