"""A feed, its lease, a journal and a loader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import Decode
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf


@pytest.fixture
def feed() -> FeedSettings:
    """A synthetic feed of two symbols."""
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "BTC/USD"]}
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """The journal of the feed `test`."""
    opened = Journal(tmp_path / "journal.sqlite3", feed="test", synthetic=True)
    yield opened
    opened.close()


@pytest.fixture
def take_lease(database: Database, journal: Journal) -> Callable[[str], Lease]:
    """Take the feed `test` over for an owner."""

    def take(owner: str) -> Lease:
        with database.transaction() as cursor:
            return leases.take(
                cursor,
                feed="test",
                provider="twelve_data",
                synthetic=True,
                owner=owner,
                journal_id=journal.journal_id,
                journal_start=journal.start,
                journal_frames=journal.frames_trimmed,
            )

    return take


@pytest.fixture
def make_loader(database: Database, tmp_path: Path) -> Iterator[LoaderOf]:
    """A loader whose frames are all in the journal; its `run` loads them and ends."""
    opened: list[Journal] = []

    def make(
        lease: Lease, frames: Sequence[bytes], decode: Decode | None = None, asked: AskedSymbols | None = None
    ) -> Loader:
        journal = Journal(tmp_path / "journal.sqlite3", feed="test", synthetic=True)
        opened.append(journal)
        journal.seek(lease.position, frames=lease.frames)
        for data in frames:
            journal.append([Frame(data, time.time_ns(), 1)], epoch=lease.epoch)
        journal.stop_appending()
        connector = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k")
        return Loader(
            database=database,
            lease=lease,
            decode=decode or connector.decode,
            journal=journal,
            metrics=Metrics(),
            asked=asked,
        )

    yield make
    for journal in opened:
        journal.close()
