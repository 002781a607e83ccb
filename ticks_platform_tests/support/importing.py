"""For tests of imports: files of trades, the feeds that they are of, and a process that kills itself."""

from __future__ import annotations

import gzip
import itertools
import os
import signal
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ticks_platform.feeds.polygon.flat_file import TRADES
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import loader as loaders
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.loader import FileLoader
from ticks_platform.ingestion.imports.options import Imported, Options
from ticks_platform.timescale.database import Database

POLYGON = Options("polygon-flat-file")
CSV = Options("csv")

Trade = dict[str, Any]

OPENING = datetime(2024, 4, 5, 13, 30, tzinfo=timezone.utc)
"""Of the exchanges in New York, on a Friday of summer time."""


def stocks(*symbols: str, name: str = "stocks", **settings: Any) -> FeedSettings:
    """A live feed of trades of Polygon, whose history can be imported without a key."""
    return FeedSettings.model_validate(
        {"name": name, "provider": "polygon", "api_key_env": "NO_KEY_IS_NEEDED", "symbols": list(symbols), **settings}
    )


def trades(symbol: str, count: int, *, begin: datetime = OPENING, seconds: float = 6 * 3600) -> list[Trade]:
    """Plain trades of a symbol, evenly over a time, as a flat file has them."""
    found = []
    for number in range(count):
        at = begin + number * timedelta(seconds=seconds) / count
        nanoseconds = round(at.timestamp() * 1000) * 1_000_000 + 123_456
        found.append(
            {
                "ticker": symbol,
                "conditions": "12,37" if number % 3 == 0 else "",
                "correction": 0,
                "exchange": 4 if number % 2 else 11,
                "id": str(52_983_525_000_000 + number),
                "participant_timestamp": nanoseconds - 40_000,
                "price": f"{100 + number % 50 / 100:.6f}",
                "sequence_number": number + 1,
                "sip_timestamp": nanoseconds,
                "size": f"{number % 7 + 1}.000000",
                "tape": 1,
                "trf_id": 202 if number % 2 else 0,
                "trf_timestamp": nanoseconds if number % 2 else 0,
            }
        )
    return found


def text_of(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] = TRADES) -> str:
    """The file with these rows, whose values have commas only where the provider quotes them."""
    names = list(columns)
    lines = [",".join(names)]
    for row in rows:
        values = (str(row.get(name, "")) for name in names)
        lines.append(",".join(f'"{value}"' if "," in value else value for value in values))
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> Path:
    """Write a file; packed, if its name ends so."""
    data = text.encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def import_files(
    database: Database, feed: FeedSettings, *paths: Path, options: Options = POLYGON, owner: str | None = None
) -> list[Imported]:
    """Import files to their ends."""
    return Import(feed=feed, database=database, owner=owner or str(uuid.uuid4()), options=options).run(paths)


def main(url: str, feed: dict[str, Any], path: Path, options: dict[str, Any], place: str, at: int) -> None:
    """Import a file in small batches, in a process that kills itself at a batch: before its commit, or after it."""
    loaders.MAX_BATCH_BYTES = 128 << 10
    name = {"stored": "_add_stored", "committed": "_committed"}[place]
    work, calls = getattr(FileLoader, name), itertools.count(1)

    def work_or_die(self: FileLoader, *arguments: Any) -> Any:
        done = work(self, *arguments)
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(FileLoader, name, work_or_die)
    import_files(Database(url), FeedSettings.model_validate(feed), path, options=Options(**options), owner="killed")
