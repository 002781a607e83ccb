"""A machine of the tests: a process that ingests into a folder of its own, and tells what is not copied."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import JournalFencedError
from ticks_platform.ingestion.journal_copy import connection, restore
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.support.children import Child, stop_requested
from ticks_platform_tests.support.nats_servers import await_that

TAKEN_OVER = 3
"""Exit code of a machine whose feed was taken over."""


class Order(msgspec.Struct, kw_only=True):
    """What a machine does."""

    name: str
    feed: dict[str, Any]
    """Settings."""
    url: str
    """The provider's."""
    database: str
    folder: str


class Told(msgspec.Struct):
    """What a machine tells, several times a second."""

    bytes: int
    """Not copied and not committed."""
    seconds: float
    trouble: str | None
    waiting: int
    """Bytes of its journal that are not committed."""
    loaded: int
    at: float
    """When it looked, by the clock of all processes of this machine."""


def main(order: Order) -> int:
    """Ingest until SIGTERM; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format=f"{order.name} %(asctime)s %(message)s")
    stop = stop_requested()
    # Servers that are frozen cost less time.
    connection.ANSWER_TIMEOUT, restore.PATIENCE = 2.0, 5.0
    feed = FeedSettings.model_validate(order.feed)
    folder = Path(order.folder)
    ingestion = Ingestion(
        feed=feed,
        connector=feed.connector(stand_in_url=order.url),
        database=Database(order.database),
        owner=f"run on {order.name}",
        journal_file=folder / "test.sqlite3",
    )
    told = folder.parent / f"{order.name}.json"
    try:
        with ingestion:
            while not stop.is_set() and not ingestion.wait(0.05):
                at = time.monotonic()
                progress = ingestion.progress()
                unshipped = progress.unshipped
                if unshipped is None:
                    continue
                new = told.with_suffix(".new")
                new.write_bytes(msgspec.json.encode(Told(*unshipped, progress.waiting_bytes, progress.loaded, at)))
                new.replace(told)
        ingestion.wait(0)
    except (LeaseLostError, JournalFencedError) as error:
        logging.warning("%s", error)
        return TAKEN_OVER
    return 0


class Machine:
    """A machine, with its disk and its network to the database."""

    def __init__(self, name: str, folder: Path, feed: dict[str, Any], url: str, database: Database) -> None:
        self.name = name
        self.disk = folder / name
        self.journal = self.disk / "test.sqlite3"
        self.log = folder / f"{name}.log"
        self._told = folder / f"{name}.json"
        self._feed, self._url = feed, url
        self._stack = contextlib.ExitStack()
        self.relay = self._stack.enter_context(Relay(database.url()))
        self._cut = contextlib.ExitStack()
        self.process: Child | None = None

    def start(self) -> None:
        """Begin to ingest."""
        self.disk.mkdir(exist_ok=True)
        self._told.unlink(missing_ok=True)
        order = Order(name=self.name, feed=self._feed, url=self._url, database=self.relay.url, folder=str(self.disk))
        self.process = Child(main, order, log=self.log)

    def cut_off(self) -> None:
        """Cut its network to the database."""
        self._cut.enter_context(self.relay.cut())

    def connect(self) -> None:
        """Mend the network."""
        self._cut.close()

    def told(self) -> Told | None:
        """What it told last."""
        with contextlib.suppress(FileNotFoundError):
            return msgspec.json.decode(self._told.read_bytes(), type=Told)
        return None

    def await_told(self, what: str, **expected: Any) -> Told:
        """Wait until it tells this."""
        found: list[Told] = []

        def is_so() -> bool:
            told = self.told()
            if told is None or any(getattr(told, name) != value for name, value in expected.items()):
                return False
            found.append(told)
            return True

        await_that(is_so, what, say=lambda: f"{self.told()} {self.tail()}")
        return found[-1]

    def await_all_copied(self, waiting: int | None = None) -> None:
        """Wait until nothing of what has arrived by now is on its disk alone."""
        began = time.monotonic()
        await_that(
            lambda: (
                (told := self.told()) is not None
                and (told.bytes, told.trouble, told.at >= began) == (0, None, True)
                and (waiting is None or told.waiting >= waiting)
            ),
            f"{self.name} has copied all",
            say=lambda: f"{self.told()} {self.tail()}",
        )

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, or let it go on."""
        assert self.process is not None
        self.process.signal(number)

    def stop(self) -> None:
        """End it in order."""
        assert self.process is not None
        self.process.signal(signal.SIGTERM)
        self.process.wait(60)
        assert self.process.exit_code == 0, self.tail()
        self.process = None

    def kill(self) -> None:
        """End its process."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def destroy(self) -> None:
        """It is gone, with its disk."""
        self.kill()
        shutil.rmtree(self.disk)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def close(self) -> None:
        """End all that belongs to it."""
        self.kill()
        self._cut.close()
        self._stack.close()


def copied_feed(copy: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A feed that copies its journal."""
    feed = {"name": "test", "provider": "twelve_data", "endpoint": "stand-in", "symbols": ["AAPL", "BTC/USD"]}
    settings: dict[str, Any] = {**feed, "journal": {"copy": {"jetstream": copy}}, **more}
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]
