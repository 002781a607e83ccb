"""A machine that comes back with frames that it had not loaded, when another one has received or repaired the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion.handover.takeover import Takeover
from ticks_platform.ingestion.journal.journal_pair import JournalPair
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.replay import replay
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import price

NS = 1_000_000_000
BEGIN = int(time.time()) - 3600


def frames(numbers: Sequence[int], *, later: float = 0.0) -> list[Frame]:
    """Prices, each received in the second of its number, or `later`."""
    return [
        Frame(price(timestamp=BEGIN + number // 4, price=100.0), (BEGIN + number) * NS + round(later * NS), 1)
        for number in numbers
    ]


def own(
    feed: FeedSettings, database: Database, machine: Path, received: list[Frame], *, waits: Sequence[Frame] = ()
) -> Metrics:
    """Take the feed over on a machine, load what it has and has received; the last of it stays in its journal."""
    journals = JournalPair(machine / "test.sqlite3", feed)
    takeover = Takeover(
        feed=feed, owner=f"run on {machine.name}", database=database, journals=journals, stopping=threading.Event()
    )
    lease, journal, before = takeover.take()
    if received:
        journal.append(received, epoch=lease.epoch)
    journal.stop_appending()
    metrics = Metrics()
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    Loader(database=database, lease=lease, decode=decode, journal=journal, before=before, metrics=metrics).run()
    if waits:
        journal.append(list(waits), epoch=lease.epoch)
    journals.close()
    return metrics


def stored(database: Database) -> tuple[int, ...]:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM stocks_real_time), sum(loaded)::int, sum(duplicate)::int, sum(events)::int "
            "FROM ticks_platform.feed_ledger"
        )
        row = cursor.fetchone()
        assert row is not None
        return tuple(row)


def test_what_others_have_stored_is_not_stored_again(feed: FeedSettings, database: Database, tmp_path: Path) -> None:
    """Equal events are told by their number: four prices a second, all of them the same."""
    one, other = tmp_path / "one", tmp_path / "other"
    own(feed, database, one, frames(range(40)), waits=frames(range(40, 80)))
    # It has received half of what waits elsewhere; and two prices more in a second that both have.
    own(feed, database, other, frames([*range(60, 100), 76, 77], later=0.3))
    assert stored(database) == (82, 82, 0, 82)
    metrics = own(feed, database, one, [])
    assert (metrics.loaded, metrics.duplicate) == (20, 20)
    assert stored(database) == (102, 102, 20, 122)
    # It is the latest now: what it receives next is stored, also if it is equal to what the other one has.
    own(feed, database, one, frames(range(96, 100)))
    assert stored(database) == (106, 106, 20, 126)


def test_a_file_of_another_machine_is_compared_before_it_is_replayed(
    feed: FeedSettings, database: Database, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    own(feed, database, one, frames(range(40)), waits=frames(range(40, 80)))
    own(feed, database, other, frames(range(60, 100), later=3600))
    for _ in range(2):
        replay(one / "test.sqlite3", feed=feed, database=database)
        assert stored(database) == (100, 100, 20, 120)
