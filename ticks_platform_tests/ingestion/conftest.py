"""A feed, its lease and a loader, for the tests of ingestion."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data import TwelveDataConnector
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.buffer import FrameBuffer
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.timescale.database import Database


@pytest.fixture
def feed() -> FeedSettings:
    """A synthetic feed of two symbols."""
    return FeedSettings.model_validate(
        {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "BTC/USD"]}
    )


@pytest.fixture
def take_lease(database: Database) -> Callable[[str], Lease]:
    """Take the feed `test` over for an owner."""

    def take(owner: str) -> Lease:
        with database.transaction() as cursor:
            return leases.take(cursor, feed="test", provider="twelve_data", synthetic=True, owner=owner)

    return take


@pytest.fixture
def make_loader(database: Database) -> Callable[[Lease, Sequence[bytes]], Loader]:
    """A loader with all its frames before it and no more to come; `run` loads them."""

    def make(lease: Lease, frames: Sequence[bytes]) -> Loader:
        buffer = FrameBuffer(start=lease.position)
        for data in frames:
            buffer.append(Frame(data, time.time_ns(), 1))
        buffer.close()
        connector = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k", symbols=["AAPL"])
        return Loader(database=database, lease=lease, decode=connector.decode, buffer=buffer)

    return make
