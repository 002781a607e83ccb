"""A process whose clock is set in mid-stream and which is killed then; its journal gives the same times, however it is
loaded.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.provider_clock import ProviderClocks
from ticks_platform.ingestion.rows.decode import decode_groups
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import wrong_clock
from ticks_platform_tests.support.children import Child
from ticks_platform_tests.support.ingestion import price, rows
from ticks_platform_tests.support.wrong_clock import Order, SetClock
from ticks_standin import StandIn

PATIENCE = 60.0
MINUTES = 60.0


class Market:
    """Sends a numbered event every few milliseconds, stamped by a right clock."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.sent = 0

    def _send(self) -> None:
        while not self._ended.wait(0.02):
            self.sent += 1
            self._stand_in.inject(price("AAPL", price=self.sent))

    def __enter__(self) -> Market:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def send(self, count: int) -> None:
        """Wait until so many more are sent."""
        goal = self.sent + count
        await_true(lambda: self.sent >= goal)


def await_true(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@pytest.fixture
def feed() -> FeedSettings:
    settings = {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL"]}
    return FeedSettings.model_validate(settings)


def stored(database: Database) -> int:
    return int(rows(database, "SELECT count(*) FROM stocks_real_time")[0][0])


def replayed(path: Path, feed: FeedSettings, *, at_once: int, url: str) -> Iterator[tuple[float, int]]:
    """Price and arrival of the events of a journal, decoded in batches of so many groups."""
    clocks, decode = ProviderClocks(), feed.connector(stand_in_url=url).decode
    with closing(Journal(path, feed="test", synthetic=True)) as journal:
        groups = list(journal.peek())
    for begin in range(0, len(groups), at_once):
        batch = decode_groups(groups[begin : begin + at_once], decode, clocks=clocks)
        yield from zip((tick.price for tick in batch.ticks.as_events()), batch.ticks.received_at.tolist(), strict=True)


@pytest.mark.full
@pytest.mark.parametrize("first", [20 * MINUTES, -20 * MINUTES, 0.0])
def test_steps_a_kill_and_a_replay(
    stand_in: StandIn, database: Database, database_url: str, feed: FeedSettings, tmp_path: Path, first: float
) -> None:
    """The clock is `first` ahead at the start, then 20 minutes behind, ahead and right, the last ones while the
    database is away; then it is killed. What waits in its journal gets the times that it would have given.
    """
    url, journal, clock = stand_in.url("twelve_data", key=None), tmp_path / "test.sqlite3", SetClock(tmp_path / "clock")
    clock.set(first)
    child = Child(
        wrong_clock.main,
        Order(feed.model_dump(mode="json"), url, database_url, str(journal), str(tmp_path / "clock")),
        log=tmp_path / "log",
    )
    with Market(stand_in) as market:
        await_true(lambda: stored(database) > 50)
        clock.set(-20 * MINUTES)
        market.send(50)
        goal = stored(database) + 50
        await_true(lambda: stored(database) > goal)
        with database.transaction() as cursor:
            cursor.execute("SELECT FROM ticks_platform.feed_lease FOR UPDATE")
            for ahead in (20 * MINUTES, 0.0, -20 * MINUTES):
                market.send(50)
                clock.set(ahead)
            market.send(50)
            child.kill()
        before = stored(database)
        (tmp_path / "copy").mkdir()
        for file in tmp_path.glob("test.sqlite3*"):
            shutil.copy(file, tmp_path / "copy")
        with Ingestion(
            feed=feed,
            connector=feed.connector(stand_in_url=url),
            database=database,
            owner="next",
            journal_file=journal,
        ) as running:
            await_true(lambda: running.progress().loaded > 0 and stored(database) > before + 100)
            market.send(100)
            assert running.progress().rejected == 0
            assert running.progress().trouble is None

    found = rows(
        database,
        "SELECT price, (extract(epoch FROM received_at) * 1000000)::bigint, "
        "extract(epoch FROM received_at - time)::float8, extract(epoch FROM received_at_raw - received_at)::float8 "
        "FROM stocks_real_time ORDER BY price",
    )
    assert all(-1.0 <= lag < 5.0 for _, _, lag, _ in found)
    assert {raw and round(raw / 60) for _, _, _, raw in found} == {None, 20, -20}
    numbers = [number for number, *_ in found]
    assert len(set(numbers)) == len(numbers)
    arrivals = {number: at for number, at, _, _ in found}
    for at_once in (1, 7, 10_000):
        copy = tmp_path / f"copy.{at_once}"
        shutil.copytree(tmp_path / "copy", copy)
        again = {number: at // 1000 for number, at in replayed(copy / "test.sqlite3", feed, at_once=at_once, url=url)}
        assert len(again) > 150
        assert again == {number: arrivals[number] for number in again}
    # Coverage and gaps have no time in the future, and hold what was received.
    assert (
        rows(
            database,
            "SELECT cause, begins_at, ends_at FROM ticks_platform.feed_gap WHERE greatest(begins_at, ends_at) > now() "
            "OR ends_at - begins_at > INTERVAL '1 minute'",
        )
        == []
    )
