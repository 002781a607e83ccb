"""Recorded frames into a database, without Dagster and without a connection to a provider."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.replay import replay
from ticks_platform.timescale import ingestion_tables
from ticks_platform.timescale.database import Database

_GROUP = 500
"""Frames that count as having arrived together."""


class StoredFrames(NamedTuple):
    """What became of the events of some frames."""

    frames: int
    loaded: int
    replaced: int
    """Bars that replaced an earlier one of their window."""
    duplicate: int
    """Trades that were sent again."""
    rejected: int
    control: int
    """Events without market data."""


def store_frames(
    frames: Iterable[bytes | tuple[bytes, int]],
    connector: type[Connector] | str,
    *,
    symbols: Sequence[str],
    database: Database | str,
    feed: str = "recorded",
    options: dict[str, Any] | None = None,
) -> StoredFrames:
    """Store frames as if a feed had received them now, with its duplicates, ledger and rejected events.

    A frame is its bytes, or its bytes and their arrival in nanoseconds since the Unix epoch. The `connector` is a class
    that can be imported, or what `provider` in feeds.yaml would say. Creates the tables if they are missing. The rows
    count as synthetic, so a database with live rows of the feed refuses them. Raises SettingsError,
    DatabaseUnavailableError, FeedInUseError.
    """
    provider = connector if isinstance(connector, str) else f"{connector.__module__}.{connector.__qualname__}"
    settings = FeedSettings.model_validate(
        {
            "name": feed,
            "provider": provider,
            "endpoint": "ws://127.0.0.1:9",  # never dialled
            "synthetic_endpoint": True,
            "symbols": list(symbols),
            "options": options or {},
        }
    )
    target = database if isinstance(database, Database) else Database(database)
    ingestion_tables.create(target)
    with tempfile.TemporaryDirectory(prefix="ticks-frames-") as folder:
        file = Path(folder) / "journal.sqlite3"
        with contextlib.closing(Journal(file, feed=feed, synthetic=settings.synthetic)) as journal:
            given = [_frame(frame) for frame in frames]
            for begin in range(0, len(given), _GROUP):
                journal.append(given[begin : begin + _GROUP], epoch=1)
        metrics = replay(file, feed=settings, database=target)
    return StoredFrames(
        metrics.frames, metrics.loaded, metrics.replaced, metrics.duplicate, metrics.rejected, metrics.control
    )


def _frame(given: bytes | tuple[bytes, int]) -> Frame:
    data, received_at = given if isinstance(given, tuple) else (given, time.time_ns())
    return Frame(data, received_at, connection=1)
