"""What two connections have in common: whole sequences, and copies of one and the same event."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion.handover import received_twice
from ticks_platform.ingestion.handover.received_twice import Overlap, in_common
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import TakeLease, price

NS = 1_000_000_000

BEGIN, END = 0.0, 3.0
"""The successor's first and the predecessor's last frame, in seconds."""

CASES = {
    "one on each side": ([1.0], [1.01], 1),
    "in a hurry, the later one first": ([1.0], [0.99], 1),
    "only before the successor": ([-0.5], [], 0),
    "before the successor, and another one after the predecessor": ([-0.5], [3.2], 0),
    "again and again": ([0.5, 1.0, 1.5, 2.0], [0.51, 1.01, 1.51, 2.01], 4),
    "the successor came in the middle": ([-0.6, -0.1, 0.4, 0.9], [0.41, 0.91], 2),
    "the predecessor ended in the middle": ([2.0, 2.5, 3.0], [2.01, 2.51, 3.01, 3.5, 4.0], 3),
    "both": ([-1.0, 0.0, 1.0, 2.0, 3.0], [0.01, 1.01, 2.01, 3.01, 4.01], 4),
    "several at once": ([1.0, 1.0, 1.0], [1.01, 1.01, 1.01], 3),
    "several at once, of which the predecessor missed some": ([3.0, 3.0], [3.01, 3.01, 3.01], 2),
    "several at once, of which the successor missed some": ([-0.01, -0.01, -0.01], [0.01, 0.01], 2),
    "one that the predecessor did not get": ([1.0], [1.01, 2.0], 1),
    "one that the successor did not get": ([1.0, 2.0], [2.01], 1),
    "no time in common": ([-3.0, -2.0], [4.0, 5.0], 0),
}


@pytest.mark.parametrize("lag", [0.0, 0.4])
@pytest.mark.parametrize("case", CASES)
def test_in_common(case: str, lag: float) -> None:
    """Also where all reaches the successor later."""
    before, after, number = CASES[case]
    found = in_common(
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


def said(number: int) -> bytes:
    """The n-th of the prices."""
    return price(timestamp=BASE // NS, price=float(number))


@pytest.fixture
def stored(journal: Journal, take_lease: TakeLease, database: Database) -> Lease:
    """What a predecessor has loaded: the n-th price, received in the n-th second, but the 66th for some reason not."""
    lease = take_lease("predecessor")
    journal.seek(lease.position, frames=lease.frames)
    frames = [Frame(said(number), at(number), 1) for number in range(1, 101) if number != 66]
    journal.append(frames, epoch=lease.epoch)
    journal.stop_appending()
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    Loader(database=database, lease=lease, decode=decode, journal=journal, metrics=Metrics()).run()
    return lease


def find(database: Database, lease: Lease, *received: dict[int, float], end: float = 100.0) -> received_twice.Found:
    """What is found of successors that received these prices in these seconds, each a position of its own.

    All of them but the last one were killed before they took over.
    """
    groups = [
        FrameGroup(number * 1000, number * 1000 + len(said(number)), epoch, 1, [at(second)], [said(number)])
        for epoch, by_one in enumerate(received, start=2)
        for number, second in by_one.items()
    ]
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    unsettled = received_twice.Unsettled("test", 2, lease.journal_number, at(end))
    with database.transaction() as cursor:
        return received_twice.find(cursor, unsettled, groups, decode)


def test_what_both_have_is_found(database: Database, stored: Lease) -> None:
    found = find(database, stored, {number: number + 0.1 for number in range(60, 120)})
    assert found.overlap.positions.tolist() == [number * 1000 for number in range(60, 101) if number != 66]
    assert found.missing == 0


def test_what_is_still_on_its_way_is_told(database: Database, stored: Lease) -> None:
    found = find(database, stored, {number: number + 0.1 for number in range(60, 100)})
    assert len(found.overlap.positions) == 39
    assert found.missing == 1


def test_what_was_received_with_a_break_is_looked_at_apart(database: Database, stored: Lease) -> None:
    """A successor that was killed before it took over, and another one later, into the same journal."""
    received = {number: number + 0.1 for number in (10, 11, 12, *range(60, 105))}
    found = find(database, stored, received)
    wanted = [10, 11, 12, *(number for number in range(60, 101) if number != 66)]
    assert found.overlap.positions.tolist() == [number * 1000 for number in wanted]
    assert found.missing == 0


def test_the_time_between_two_successors_is_none_in_which_both_received(database: Database, stored: Lease) -> None:
    """The 93rd price came between them; what says the same after the predecessor's end is another event."""
    killed = {number: number + 0.1 for number in range(60, 76) if number != 66}
    received = {**{number: number + 0.1 for number in range(95, 101)}, 93: 100.9}
    found = find(database, stored, killed, received)
    assert found.overlap.positions.tolist() == [number * 1000 for number in (*killed, *range(95, 101))]
    assert found.missing == 0


def test_events_like_those_before_are_others_where_nothing_overlaps(database: Database, stored: Lease) -> None:
    """All have one stamp, and prices come back: a successor that began after the end has none of them twice."""
    found = find(database, stored, {number: 100.2 + number / 1000 for number in range(80, 101)})
    assert found.overlap.positions.tolist() == []
    assert found.missing == 0


def test_connections_that_have_nothing_in_common(database: Database, stored: Lease) -> None:
    found = find(database, stored, {number: number - 900.0 for number in range(990, 1010)})
    assert found.overlap.positions.tolist() == []
    assert found.missing > 0


def test_what_was_decided_can_be_written_down() -> None:
    decided = Overlap(np.array([3, 7, 1 << 45], dtype=np.int64))
    again = Overlap.load(decided.dump())
    assert again.positions.tolist() == [3, 7, 1 << 45]
    assert not again.is_behind(1 << 45)
    assert again.is_behind((1 << 45) + 1)
    assert Overlap.nothing().is_behind(0)
