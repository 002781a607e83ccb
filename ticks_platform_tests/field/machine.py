"""A machine of the campaign: a process that ingests all feeds, with a clock and a disk that can be spoiled."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import os
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec

from ticks_platform.feeds.polygon import connector as polygon
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import clock, reconnect, subscriptions
from ticks_platform.ingestion.journal.journal import JournalFencedError, JournalUnavailableError
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.field.mutations import MUTATIONS
from ticks_platform_tests.field.server import KEY
from ticks_platform_tests.support.children import stop_requested

KEY_VARIABLE = "TICKS_TEST_FIELD_KEY"

TAKEN_OVER = 3
"""Exit code of a machine whose feeds another one has taken over."""

_CLOCK = struct.Struct("qq")


class ClockFile:
    """What is wrong with a machine's clock, in a file that two processes map: it changes while the machine runs."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_CLOCK.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _CLOCK.size)

    @property
    def wrong(self) -> int:
        """Nanoseconds that the wall clock is ahead."""
        return int(_CLOCK.unpack(self._shared[:])[0])

    @wrong.setter
    def wrong(self, nanoseconds: int) -> None:
        self._shared[:] = _CLOCK.pack(nanoseconds, self.slept)

    @property
    def slept(self) -> int:
        """Nanoseconds that the machine slept since it was booted."""
        return int(_CLOCK.unpack(self._shared[:])[1])

    @slept.setter
    def slept(self, nanoseconds: int) -> None:
        self._shared[:] = _CLOCK.pack(self.wrong, nanoseconds)

    def module(self) -> SimpleNamespace:
        """In place of the module `time`."""
        return SimpleNamespace(
            time_ns=lambda: time.time_ns() + self.wrong,
            clock_gettime_ns=lambda number: time.clock_gettime_ns(number) - self.slept,
        )


class Order(msgspec.Struct, kw_only=True):
    """What a machine does."""

    owner: str
    feeds: list[dict[str, object]]
    database: str
    folder: str
    """Of its journals."""
    clock: str
    disk_of: int | None = None
    """A process in whose mount namespace the folder is."""
    mutation: str | None = None
    """A key of MUTATIONS."""


def main(order: Order) -> int:
    """Ingest until stopped, or until another machine has taken the feeds over; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format=f"{order.owner} %(asctime)s %(message)s")
    if order.disk_of is not None:
        _enter(order.disk_of)
    stop = stop_requested()
    os.environ[KEY_VARIABLE] = KEY
    for mutation in MUTATIONS[order.mutation] if order.mutation else ():
        mutation.apply()
    clock.time = ClockFile(Path(order.clock)).module()  # type: ignore[assignment]
    # Each connection counts as stable, so that reconnects are quick although the provider drops many.
    reconnect.STABLE_AFTER = 0.0
    reconnect.REJECTED_PAUSE = 0.2
    polygon.MAX_CONNECTIONS_PAUSE = 1.0
    polygon.AUTH_TIMEOUT_PAUSE = 0.5
    subscriptions.REFUSED_AGAIN = 0.5
    lost = 0
    with contextlib.ExitStack() as stack:
        running = []
        for settings in order.feeds:
            feed = FeedSettings.model_validate(settings)
            running.append(stack.enter_context(_ingestion(order, feed)))
        while not stop.is_set() and lost < len(running):
            lost = sum(map(_is_lost, running))
            stop.wait(0.02)
        threads = [threading.Thread(target=each.stop) for each in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return TAKEN_OVER if any(map(_is_lost, running)) else 0


def _ingestion(order: Order, feed: FeedSettings) -> Ingestion:
    return Ingestion(
        feed=feed,
        connector=feed.connector(),
        database=Database(order.database),
        owner=f"{order.owner} {feed.name}",
        journal_file=Path(order.folder) / f"{feed.name}.sqlite3",
    )


def _is_lost(ingestion: Ingestion) -> bool:
    """Whether another owner has the feed. Raises any other reason for its end."""
    try:
        ingestion.wait(0)
    except (LeaseLostError, JournalFencedError):
        return True
    except JournalUnavailableError:
        # Stopped while its journal had no room, it says what is lost: the account looks for that in the gaps.
        return False
    return False


def _enter(process: int) -> None:
    """Enter the user and mount namespaces of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("user", "mnt"):
        there, here = (Path("/proc", each, "ns", kind) for each in (str(process), "self"))
        with there.open() as namespace:
            if there.readlink() != here.readlink() and libc.setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"cannot enter the {kind} namespace of process {process}")
