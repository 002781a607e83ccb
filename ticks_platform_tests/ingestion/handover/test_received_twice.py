"""Events that two connections both received: whole sequences, and equal events."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion.handover import received_twice
from ticks_platform.ingestion.handover.matching import Arrivals, count_common, match
from ticks_platform.ingestion.handover.order import Event
from ticks_platform.ingestion.handover.received_twice import Comparison, ReceivedTwice, Uncompared
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.transactions import Transactions
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import TakeLease, price

NS = 1_000_000_000

BEGIN, END = 0.0, 3.0
"""The successor's first and the predecessor's last frame, in seconds."""

CASES = {
    "one on each": ([1.0], [1.01], 1),
    "the successor received it first": ([1.0], [0.99], 1),
    "only before the successor": ([-0.5], [], 0),
    "before the successor, and another one after the predecessor": ([-0.5], [3.2], 0),
    "repeated": ([0.5, 1.0, 1.5, 2.0], [0.51, 1.01, 1.51, 2.01], 4),
    "the successor began in the middle": ([-0.6, -0.1, 0.4, 0.9], [0.41, 0.91], 2),
    "the predecessor ended in the middle": ([2.0, 2.5, 3.0], [2.01, 2.51, 3.01, 3.5, 4.0], 3),
    "both": ([-1.0, 0.0, 1.0, 2.0, 3.0], [0.01, 1.01, 2.01, 3.01, 4.01], 4),
    "several at once": ([1.0, 1.0, 1.0], [1.01, 1.01, 1.01], 3),
    "several at once, the predecessor missed some": ([3.0, 3.0], [3.01, 3.01, 3.01], 2),
    "several at once, the successor missed some": ([-0.01, -0.01, -0.01], [0.01, 0.01], 2),
    "the predecessor missed one": ([1.0], [1.01, 2.0], 1),
    "the successor missed one": ([1.0, 2.0], [2.01], 1),
    "no time in common": ([-3.0, -2.0], [4.0, 5.0], 0),
}


@pytest.mark.parametrize("lag", [0.0, 0.4])
@pytest.mark.parametrize("case", CASES)
def test_count_common(case: str, lag: float) -> None:
    """Also if everything reaches the successor later."""
    before, after, number = CASES[case]
    found = count_common(
        [round(at * NS) for at in before],
        [round((at + lag) * NS) for at in after],
        begin=round((BEGIN + lag) * NS),
        end=round(END * NS),
        lag=round(lag * NS),
    )
    assert found == number


BASE = (int(time.time()) - 3600) * NS


def at(seconds: float) -> int:
    return BASE + round(seconds * NS)


def nth_price(number: int) -> bytes:
    """A frame with the n-th price."""
    return price(timestamp=BASE // NS, price=float(number))


@pytest.fixture
def stored(journal: Journal, take_lease: TakeLease, database: Database) -> Lease:
    """A predecessor has loaded the prices 1 to 100, each received in the second of its number, without the 66th."""
    lease = take_lease("predecessor")
    journal.seek(lease.position, frames=lease.frames)
    frames = [Frame(nth_price(number), at(number), 1) for number in range(1, 101) if number != 66]
    journal.append(frames, epoch=lease.epoch)
    journal.stop_appending()
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    Loader(database=database, lease=lease, decode=decode, journal=journal, metrics=Metrics()).run()
    return lease


def compare(
    database: Database, lease: Lease, *received: dict[int, float], end: float = 100.0, taken: float | None = None
) -> Comparison:
    """Compare successors that received these prices, given with the second of arrival.

    All but the last one were killed before they took over.
    """
    groups = [
        FrameGroup(number * 1000, number * 1000 + len(nth_price(number)), epoch, 1, [at(second)], [nth_price(number)])
        for epoch, by_one in enumerate(received, start=2)
        for number, second in by_one.items()
    ]
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    uncompared = Uncompared("test", 2, lease.journal_number, at(end), None if taken is None else at(taken))
    with database.transaction() as cursor:
        return received_twice.compare(cursor, uncompared, groups, decode)


def test_events_that_both_received_are_found(database: Database, stored: Lease) -> None:
    found = compare(database, stored, {number: number + 0.1 for number in range(60, 120)})
    assert found.received_twice.positions.tolist() == [number * 1000 for number in range(60, 101) if number != 66]
    assert found.missing == 0


def test_an_event_that_has_not_arrived_yet_is_missing(database: Database, stored: Lease) -> None:
    found = compare(database, stored, {number: number + 0.1 for number in range(60, 100)})
    assert len(found.received_twice.positions) == 39
    assert found.missing == 1


def test_sessions_of_two_successors_are_compared_separately(database: Database, stored: Lease) -> None:
    """A successor was killed before it took over; a later one appends to the same journal."""
    received = {number: number + 0.1 for number in (10, 11, 12, *range(60, 105))}
    found = compare(database, stored, received)
    both = [10, 11, 12, *(number for number in range(60, 101) if number != 66)]
    assert found.received_twice.positions.tolist() == [number * 1000 for number in both]
    assert found.missing == 0


def test_the_time_between_two_successors_is_not_common(database: Database, stored: Lease) -> None:
    """The 93rd price arrived between them; an equal one after the predecessor's end is another event."""
    killed = {number: number + 0.1 for number in range(60, 76) if number != 66}
    received = {**{number: number + 0.1 for number in range(95, 101)}, 93: 100.9}
    found = compare(database, stored, killed, received)
    assert found.received_twice.positions.tolist() == [number * 1000 for number in (*killed, *range(95, 101))]
    assert found.missing == 0


def test_equal_events_without_an_overlap_are_different(database: Database, stored: Lease) -> None:
    """All have the same time and prices repeat, but the successor began after the predecessor's end."""
    found = compare(database, stored, {number: 100.2 + number / 1000 for number in range(80, 101)})
    assert found.received_twice.positions.tolist() == []
    assert found.missing == 0


LATE = 5.2
"""Seconds by which everything reaches a successor that has no time to read: longer than the overlap."""


def test_the_predecessor_ended_before_anything_had_reached_the_successor(database: Database, stored: Lease) -> None:
    """It was killed at once, and the successor read late: its first frame arrived after the predecessor's last."""
    found = compare(database, stored, {number: number + LATE for number in range(96, 120)})
    assert found.received_twice.positions.tolist() == [number * 1000 for number in range(96, 101)]
    assert found.missing == 0


def test_what_a_late_successor_has_not_received_yet_is_missing(database: Database, stored: Lease) -> None:
    for arrived in (2, 3, 4):
        found = compare(database, stored, {number: number + LATE for number in range(96, 96 + arrived)})
        assert found.received_twice.positions.tolist() == [number * 1000 for number in range(96, 96 + arrived)]
        assert found.missing == 5 - arrived
    nothing = compare(database, stored, {1000: 101.2})
    assert (nothing.received, nothing.missing) == (1, 0)


def test_a_successor_that_was_sent_something_else_than_the_predecessors_end(database: Database, stored: Lease) -> None:
    for other in (98, 101, 500):
        received = {96: 96 + LATE, 97: 97 + LATE, other: 98 + LATE, 100: 100 + LATE, 600: 101 + LATE}
        if other == 98:
            del received[97]
        assert compare(database, stored, received).received_twice.positions.tolist() == []


def test_it_is_waited_for_what_has_not_reached_the_successor() -> None:
    sent = [Event(("AAPL", number), at(second)) for number, second in enumerate((97.0, 99.5, 99.9, 100.0))]
    events = {event.key: Arrivals([event.arrival], [], []) for event in sent}
    assert match(events, sent, begin=at(100.1), end=at(100.0)) == ([], 3)
    assert match(events, sent, begin=at(120.0), end=at(100.0)) == ([], 0), "it began too late to be sent them"


def test_the_last_event_is_all_that_a_late_successor_was_sent(database: Database, stored: Lease) -> None:
    """The predecessor was killed just after it; by its arrival it would be another event."""
    found = compare(database, stored, {100: 100.2, 101: 101.0})
    assert found.received_twice.positions.tolist() == [100_000]


def test_connections_without_common_events(database: Database, stored: Lease) -> None:
    found = compare(database, stored, {number: number - 900.0 for number in range(990, 1010)})
    assert found.received_twice.positions.tolist() == []
    assert found.missing > 0


def test_the_feed_falls_silent_at_that_moment(database: Database, stored: Lease) -> None:
    """The successor began shortly before the last event, and got it later than that."""
    found = compare(database, stored, {66: 99.95, 100: 100.2}, taken=101.0)
    assert found.if_alive.positions.tolist() == [100_000]
    assert found.received_twice.positions.tolist() == [], "if the predecessor was killed, it is another event"


def test_a_predecessor_that_was_killed_received_no_longer(database: Database, stored: Lease) -> None:
    found = compare(database, stored, {number: number + 0.1 for number in range(90, 120)}, taken=119.0)
    assert found.received_twice.positions.tolist() == [number * 1000 for number in range(90, 101)]
    assert found.if_alive.positions.tolist() == found.received_twice.positions.tolist()


@pytest.mark.full
@pytest.mark.parametrize("alive", [True, False])
def test_a_predecessor_that_closes_its_connection_was_alive(
    database: Database, stored: Lease, tmp_path: Path, alive: bool
) -> None:
    journal = Journal(tmp_path / "successor.sqlite3", feed="test", synthetic=True)
    # An event that the predecessor has received long before: their order tells nothing.
    journal.append([Frame(nth_price(66), at(99.95), 1), Frame(nth_price(100), at(100.2), 1)], epoch=2)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed_handover (feed, epoch, successor, journal_id, predecessor, "
            "predecessor_epoch, begun_at, taken_at, closed_at) SELECT 'test', 2, 'successor', %s, 'predecessor', "
            "1, now(), now(), CASE WHEN %s THEN now() END",
            (journal.journal_id, alive),
        )
    uncompared = Uncompared("test", 2, stored.journal_number, at(100.0), at(101.0))
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    transactions = Transactions(
        database, "test", feed="test", on_connect=lambda: None, on_commit=lambda: None, on_failure=lambda _: None
    )
    with contextlib.closing(journal), contextlib.closing(transactions):
        found = received_twice.find(
            transactions, lambda _: None, uncompared, journal, decode, lambda _: np.empty(0, np.int64)
        )
    assert len(found.positions) == alive


def test_a_result_is_dumped_and_loaded() -> None:
    found = ReceivedTwice(np.array([3, 7, 1 << 45], dtype=np.int64))
    again = ReceivedTwice.load(found.dump())
    assert again.positions.tolist() == [3, 7, 1 << 45]
    assert not again.all_before(1 << 45)
    assert again.all_before((1 << 45) + 1)
    assert ReceivedTwice.none().all_before(0)
