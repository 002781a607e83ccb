"""A machine: a process that ingests all feeds into journals on a disk of its own."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import JournalFencedError
from ticks_platform.ingestion.journal_copy import connection
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.children import Child, stop_requested

TAKEN_OVER = 3
"""Exit code of a machine whose feeds were taken over."""


class Order(msgspec.Struct, kw_only=True):
    """What a machine does."""

    name: str
    feeds: list[dict[str, Any]]
    database: str
    folder: str


class Told(msgspec.Struct):
    """What a machine tells of a feed, several times a second."""

    not_copied: int
    """Bytes that are neither copied nor committed."""
    trouble: str | None


def main(order: Order) -> int:
    """Ingest until SIGTERM; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format=f"{order.name} %(asctime)s %(message)s")
    stop = stop_requested()
    # Servers that are frozen cost less time.
    connection.ANSWER_TIMEOUT = 2.0
    database, folder = Database(order.database), Path(order.folder)
    ingestions = {}
    for each in order.feeds:
        feed = FeedSettings.model_validate(each)
        ingestions[feed.name] = Ingestion(
            feed=feed,
            connector=feed.connector(stand_in_url=None),
            database=database,
            owner=f"run on {order.name} {time.time_ns()}",
            journal_file=folder / f"{feed.name}.sqlite3",
        )
    try:
        with contextlib.ExitStack() as stack:
            for ingestion in ingestions.values():
                stack.enter_context(ingestion)
            while not stop.wait(0.05):
                for name, ingestion in ingestions.items():
                    if ingestion.wait(0):
                        return TAKEN_OVER
                    unshipped = ingestion.progress().unshipped
                    if unshipped is not None:
                        told = folder / f"{name}.json"
                        new = told.with_suffix(".new")
                        new.write_bytes(msgspec.json.encode(Told(unshipped.bytes, unshipped.trouble)))
                        new.replace(told)
    except (LeaseLostError, JournalFencedError) as error:
        logging.warning("%s", error)
        return TAKEN_OVER
    return 0


class OnDisk(NamedTuple):
    """A journal as it is on a machine's disk, read without any of the platform's code."""

    journal_id: str
    ends: list[int]
    """Where each group of frames ends, and where the first one begins."""
    groups: list[list[bytes]]
    """The frames of each group."""

    @property
    def end(self) -> int:
        """Where the last one ends."""
        return self.ends[-1]

    def frames(self, begin: int, end: int) -> list[bytes]:
        """The frames of the groups between these positions."""
        return [
            frame
            for group, start, stop in zip(self.groups, self.ends, self.ends[1:], strict=False)
            if begin <= start and stop <= end
            for frame in group
        ]


class Machine:
    """A machine with its disk."""

    def __init__(self, name: str, folder: Path, feeds: list[dict[str, Any]], database_url: str) -> None:
        self.name = name
        self.disk = folder / name
        self._log = folder / f"{name}.log"
        self._feeds = [str(feed["name"]) for feed in feeds]
        self._order = Order(name=name, feeds=feeds, database=database_url, folder=str(self.disk))
        self._process: Child | None = None

    def start(self) -> None:
        """Begin to ingest, with what is on the disk."""
        self.disk.mkdir(exist_ok=True)
        self._process = Child(main, self._order, log=self._log)

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert self._process is not None
        self._process.signal(number)

    def end(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.signal(signal.SIGTERM)
        self._process.wait(60)
        assert self._process.exit_code in (0, TAKEN_OVER), self.tail()
        self._process = None

    def await_taken_over(self) -> None:
        """Wait until it has noticed that another machine owns its feeds."""
        assert self._process is not None
        self._process.wait(120)
        assert self._process.exit_code == TAKEN_OVER, self.tail()
        self._process = None

    def kill(self) -> None:
        """Pull its plug."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def destroy(self) -> None:
        """It is gone, with its disk."""
        self.kill()
        shutil.rmtree(self.disk)

    def told(self, feed: str) -> Told | None:
        """What it told last."""
        with contextlib.suppress(FileNotFoundError):
            return msgspec.json.decode((self.disk / f"{feed}.json").read_bytes(), type=Told)
        return None

    def journal(self, feed: str) -> OnDisk | None:
        """The journal of a feed; None if it has none yet. Only while the machine stands still."""
        file = self.disk / f"{feed}.sqlite3"
        if not file.exists():
            return None
        with tempfile.TemporaryDirectory() as folder:
            # Closing a copy's log leaves the disk as it is.
            for each in self.disk.glob(f"{file.name}*"):
                if not each.name.endswith("-shm"):
                    shutil.copy(each, folder)
            return self._read(Path(folder) / file.name)

    def _read(self, file: Path) -> OnDisk:
        with contextlib.closing(sqlite3.connect(file)) as database:
            ((journal_id, begin),) = database.execute("SELECT journal_id, trimmed_position FROM journal").fetchall()
            rows = database.execute("SELECT end, data FROM frame_group ORDER BY position").fetchall()
        return OnDisk(
            journal_id,
            [begin, *(end for end, _ in rows)],
            [msgspec.msgpack.decode(data)[3] for _, data in rows],
        )

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""
