"""What syncs a journal to its disk: a thread of its own, which outlives a disk that fails for a while."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from ticks_platform.backoff import Backoff

logger = logging.getLogger(__name__)


class Syncing:
    """Syncs SQLite's log of a journal after every append, but not more often than every `interval` seconds.

    When a sync has failed, `failure` says so until one has succeeded. A success after a failure proves nothing about
    what was written before: Linux may have taken those pages for clean when it reported the failure. They are still in
    memory and survive the end of the process, but perhaps not a power cut; and SQLite, which reads its log up to the
    first hole, would lose with them what was appended behind them. `write_again` has to have what stands in the log
    written anew elsewhere. What memory has dropped meanwhile is beyond help.
    """

    def __init__(self, path: Path, *, interval: float, write_again: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self._path = path
        self._interval = interval
        self._write_again = write_again
        self._backoff = Backoff(base=0.1, cap=5.0)
        self._dirty = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sync-{path.stem}", daemon=True)
        self._thread.start()

    def due(self) -> None:
        """There is something to sync."""
        self._dirty.set()

    def end(self) -> None:
        """Sync once more, and end."""
        self._ending.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            log: int | None = None
            while not self._ending.is_set():
                self._dirty.wait()
                self._dirty.clear()
                try:
                    if log is None:
                        log = os.open(f"{self._path}-wal", os.O_RDWR)
                        stack.callback(os.close, log)
                    self._sync(log)
                except (OSError, sqlite3.Error) as error:
                    if self.failure is None:
                        logger.error("%s cannot be synced: %s", self._path, error)  # noqa: TRY400
                    self.failure = error
                    self._dirty.set()
                    self._ending.wait(self._backoff.next_delay())
                else:
                    self._ending.wait(self._interval)

    def _sync(self, log: int) -> None:
        os.fdatasync(log)
        if self.failure is not None:
            self._write_again()
            logger.warning("%s can be synced again", self._path)
            self.failure = None
            self._backoff.reset()
