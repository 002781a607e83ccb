"""Planned hand-overs: the events that were sent, compared with the rows in the table."""

from __future__ import annotations

import json
import signal
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
    """A shorter overlap, but longer than `received_twice._COMMON`, in which both owners receive everything."""
    monkeypatch.setattr(takeover, "OVERLAP", OVERLAP)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)


@pytest.fixture
def feed() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": list(SYMBOLS)}
    )


@pytest.fixture
def rate() -> int:
    """Ticks per second."""
    return 300


@pytest.fixture
def stand_in(rate: int) -> Iterator[StandIn]:
    """A stand-in that records what it sends, and is mute at first."""
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
    """Creates an ingestion that takes the feed over, as planned if it has an owner."""

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
    """Starts an ingestion in a separate process, which takes over as planned."""
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
    """A client that is connected all the time; the frames that it received."""
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
    """Wait until this many connections are subscribed to everything."""
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


def await_compared(database: Database, successor: str) -> None:
    """Wait until this owner has the feed, and has recorded which events were received twice."""
    query = f"SELECT settled_at IS NOT NULL FROM ticks_platform.feed_handover WHERE successor = '{successor}'"
    eventually(f"{successor} has taken over", lambda: rows(database, query) == [(True,)])


def count(database: Database) -> int:
    return int(rows(database, "SELECT count(*) FROM stocks_real_time")[0][0])


def event(sent: dict[str, Any]) -> tuple[Any, ...]:
    return (sent["symbol"], sent["timestamp"], sent["price"], sent.get("day_volume"), sent.get("bid"), sent.get("ask"))


def stored(database: Database) -> list[tuple[Any, ...]]:
    """The rows of the table, in the order that candles use."""
    return rows(
        database,
        "SELECT symbol, extract(epoch FROM time)::bigint, price, day_volume, bid, ask FROM stocks_real_time "
        "ORDER BY tick_id",
    )


def check_event_by_event(database: Database, sent: list[dict[str, Any]]) -> None:
    """Wait until as many ticks are stored as were sent, and check that they are equal, in the same order per symbol."""
    eventually("everything is loaded", lambda: count(database) >= len(sent))
    # Event times are whole seconds; within each, in the order of arrival.
    events, found = sorted(map(event, sent), key=lambda each: int(each[1])), stored(database)
    assert Counter(found) - Counter(events) == Counter(), "stored more than once"
    assert Counter(events) - Counter(found) == Counter(), "lost"
    for symbol in SYMBOLS:
        assert [each for each in found if each[0] == symbol] == [each for each in events if each[0] == symbol]
    assert unbalanced(database) == []
    assert rows(database, "SELECT count(DISTINCT tick_id) FROM stocks_real_time") == [(len(sent),)]


def repeat(stand_in: StandIn, times: int) -> None:
    """Send the same event repeatedly, at short intervals, sometimes several times at once."""
    same = json.dumps(
        {"event": "price", "symbol": "EUR/USD", "timestamp": int(time.time()), "price": 1.25, "bid": 1.24, "ask": 1.26}
    )
    for number in range(times):
        stand_in.inject(*[same] * (1 + number % 3))
        time.sleep(0.02)


@pytest.mark.parametrize("rate", [1000])
def test_two_hand_overs_lose_nothing_and_double_nothing(
    follow: Follow, stand_in: StandIn, database: Database, witness: Callable[[], list[dict[str, Any]]]
) -> None:
    """At a thousand ticks per second, with many equal events."""
    with ExitStack() as stack:
        ingestions = [stack.enter_context(follow("first"))]
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks are stored", lambda: count(database) > 500)
        repeating = threading.Thread(target=repeat, args=(stand_in, 200), daemon=True)
        repeating.start()
        for successor in ("second", "third"):
            ingestions.append(stack.enter_context(follow(successor)))
            await_compared(database, successor)
            before, after = ingestions[-2:]
            assert before.wait(60), "the predecessor ends"
            assert (before.successor, after.successor) == (successor, None)
            assert owner(database) == successor
        repeating.join()
        eventually("the last owner loads", lambda: ingestions[-1].progress().loaded > 500)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    left_out = rows(database, "SELECT left_out, closed_at > taken_at FROM ticks_platform.feed_handover ORDER BY epoch")
    assert [closed for _, closed in left_out] == [True, True]
    assert all(twice > 50 for twice, _ in left_out), "a second with both connections"
    assert rows(database, "SELECT sum(duplicate) FROM ticks_platform.feed_ledger") == [(sum(n for n, _ in left_out),)]
    for left in ingestions:
        assert left.progress().trouble is None


@pytest.mark.full
@pytest.mark.parametrize("rate", [0])
def test_of_a_quiet_feed_no_time_is_called_missing_that_both_have_received(
    follow: Follow, stand_in: StandIn, database: Database
) -> None:
    """What the predecessor had heard last was long ago; that it was connected meanwhile shows with the next data."""
    with follow("first"):
        await_subscribed(stand_in, 1)
        stand_in.unmute()
        stand_in.send_exactly(10, timeout_s=60)
        eventually("ticks are stored", lambda: count(database) == 10)
        with follow("second") as second:
            await_subscribed(stand_in, 2)
            until = time.monotonic() + 2 * OVERLAP
            eventually("the overlap is over", lambda: time.monotonic() > until)
            assert owner(database) == "first", "nothing has come to both"
            stand_in.send_exactly(10, timeout_s=60)
            eventually("it is handed over", lambda: owner(database) == "second")
            await_compared(database, "second")
            stand_in.send_exactly(10, timeout_s=60)
            eventually("ticks are stored", lambda: second.progress().loaded == 10 and count(database) == 30)
            computed = "SELECT count(*), bool_and(computed) FROM ticks_platform.feed_coverage"
            expected = [(2 * len(SYMBOLS), True)]
            eventually("coverage is computed", lambda: rows(database, computed) == expected)
            assert rows(database, "SELECT symbol, begins_at, ends_at, cause FROM ticks_platform.feed_gap") == []


@pytest.mark.full
@pytest.mark.parametrize("rate", [0])
def test_a_feed_that_sends_nothing_is_handed_over_too(follow: Follow, stand_in: StandIn, database: Database) -> None:
    with follow("first"):
        await_subscribed(stand_in, 1)
        with follow("second"):
            eventually("it is handed over", lambda: owner(database) == "second")


def await_all_in_journal(stand_in: StandIn, connection: int, journal: Path) -> None:
    """Wait until everything that a muted stand-in has sent on this connection is in a journal."""

    def arrived() -> bool:
        with journal_view(journal) as looked_at:
            return looked_at.frames_appended == stand_in.account().connections[connection].frames

    eventually("all sent frames are in the journal", arrived)


def start_streaming(start: Callable[..., Child], stand_in: StandIn, database: Database) -> Child:
    """An owner in a process of its own, which has stored ticks."""
    first = start("first")
    await_subscribed(stand_in, 2)
    stand_in.unmute()
    eventually("ticks are stored", lambda: count(database) > 300)
    return first


def sent_by_symbol(stand_in: StandIn, connection: int) -> list[int]:
    sent = Counter(each["symbol"] for each in stand_in.account().connections[connection].price_events_sent())
    return [sent[symbol] for symbol in SYMBOLS]


def test_the_predecessor_is_killed_during_the_overlap(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
) -> None:
    """The successor takes over as planned, and loads the rest of its predecessor's journal."""
    victim = start_streaming(start, stand_in, database)
    with follow("second") as second:
        await_subscribed(stand_in, 3)
        # Of a symbol that sends equal events, as a rate without a volume may be, one event tells nothing.
        eventually("both are sent some of each symbol", lambda: min(sent_by_symbol(stand_in, 2)) >= 5)
        victim.kill()
        await_compared(database, "second")
        loaded = second.progress().loaded
        eventually("it loads", lambda: second.progress().loaded > loaded + 300)
        stand_in.go_mute()
        check_event_by_event(database, witness())
    assert rows(database, "SELECT closed_at FROM ticks_platform.feed_handover") == [(None,)]


@pytest.mark.full
@pytest.mark.parametrize("rate", [300])
def test_the_predecessor_is_killed_while_the_successor_has_no_time_to_read(
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
) -> None:
    """As on a machine with too much to do: what both were sent reaches the successor after the predecessor's end."""
    victim = start_streaming(start, stand_in, database)
    second = start("second")
    await_subscribed(stand_in, 3)
    second.signal(signal.SIGSTOP)

    def sent() -> int:
        return stand_in.account().connections[2].price_events

    both = sent() + 30
    eventually("both are sent some", lambda: sent() > both)
    victim.kill()
    more = sent() + 300
    eventually("a second passes", lambda: sent() > more)
    second.signal(signal.SIGCONT)
    await_compared(database, "second")
    stand_in.send_exactly(100)
    stand_in.go_mute()
    check_event_by_event(database, witness())


@pytest.mark.full
def test_the_successor_is_killed_before_it_takes_over(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
) -> None:
    """The predecessor continues; the next successor treats the frames in the dead one's journal separately."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        victim = start("second", overlap=600.0)
        await_subscribed(stand_in, 3)
        stand_in.send_exactly(100)
        victim.kill()
        loaded = first.progress().loaded
        eventually("the first owner continues", lambda: first.progress().loaded > loaded + 300)
        assert owner(database) == "first"
        stack.enter_context(follow("third"))
        await_compared(database, "third")
        assert first.wait(60)
        stand_in.send_exactly(500)
        stand_in.go_mute()
        check_event_by_event(database, witness())


@pytest.mark.full
def test_the_successor_is_killed_before_it_has_compared_events(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
    journal_file: Path,
    tmp_path: Path,
) -> None:
    """The next owner compares them."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks are stored", lambda: count(database) > 300)
        victim = start("second", compares_after=tmp_path / "never")
        eventually("the first owner is replaced", lambda: first.wait(0))
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


@pytest.mark.full
def test_the_successor_is_killed_half_way_through_the_events_received_twice(
    follow: Follow,
    start: Callable[..., Child],
    stand_in: StandIn,
    database: Database,
    witness: Callable[[], list[dict[str, Any]]],
    journal_file: Path,
    tmp_path: Path,
) -> None:
    """Its result is recorded: the next owner uses it."""
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks are stored", lambda: count(database) > 300)
        victim = start("second", compares_after=tmp_path / "now", dies_half_way=True)
        eventually("the first owner is replaced", lambda: first.wait(0))
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


def test_without_overlap_the_successor_waits_until_the_old_connection_is_closed(
    follow: Follow, stand_in: StandIn, database: Database, witness: Callable[[], list[dict[str, Any]]]
) -> None:
    """Events are missed, but none that reached a socket."""
    stand_in.limit_connections(2)
    with ExitStack() as stack:
        first = stack.enter_context(follow("first"))
        await_subscribed(stand_in, 2)
        stand_in.unmute()
        eventually("ticks are stored", lambda: count(database) > 300)
        stack.enter_context(follow("second", overlap=False))
        eventually("the first owner ends", lambda: first.wait(0))
        assert first.successor == "second"
        await_subscribed(stand_in, 2)
        eventually("the second owner has events", lambda: stand_in.account().connections[-1].price_events > 500)
        stand_in.go_mute()
        _, *used = stand_in.account().connections
        assert len(used) == 2, "the provider ended no connection"
        check_event_by_event(database, [each for connection in used for each in connection.price_events_sent()])
    assert len(witness()) > count(database)
