"""Syncs a journal to the disk, in a thread that continues after disk errors."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from ticks_platform.backoff import Backoff

logger = logging.getLogger(__name__)

_TRIES, _TRY_AGAIN = 20, 0.05
"""How often, and after how many seconds, to look again for a log that is missing."""


class SyncThread:
    """Syncs SQLite's log of a journal after every append, but at most once every `interval` seconds.

    After a failed sync, `failure` is set until a later one succeeds. That success proves nothing about earlier writes:
    Linux may have marked their pages clean when it reported the failure. They survive the end of the process, but
    perhaps not a power loss; and SQLite, which reads its log up to the first hole, would lose with them what was
    appended after them. So `rewrite` is called, which must write the contents of the log elsewhere. Pages that were
    evicted from memory in between cannot be recovered.
    """

    def __init__(self, path: Path, *, interval: float, rewrite: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self.synced = 0
        """The position up to which everything is on the disk; 0 if that is unknown."""
        self._requested = 0
        self._path = path
        self._interval = interval
        self._rewrite = rewrite
        self._backoff = Backoff(base=0.1, cap=5.0)
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sync-{path.stem}", daemon=True)
        self._thread.start()

    def request(self, position: int) -> None:
        """Request a sync of what is written up to this position."""
        self._requested = position
        self._dirty.set()

    def stop(self) -> None:
        """Sync once more, and end."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        log: int | None = None
        try:
            while not self._stopping.is_set():
                self._dirty.wait()
                self._dirty.clear()
                position = self._requested
                try:
                    if log is not None and not os.fstat(log).st_nlink:
                        # The file was replaced, and its log with it.
                        os.close(log)
                        log = None
                    if log is None:
                        log = self._open_log()
                    self._sync(log)
                except (OSError, sqlite3.Error) as error:
                    if self.failure is None:
                        logger.error("%s cannot be synced: %s", self._path, error)  # noqa: TRY400
                    self.failure = error
                    self._dirty.set()
                    self._stopping.wait(self._backoff.next_delay())
                else:
                    self.synced = position
                    self._stopping.wait(self._interval)
        finally:
            if log is not None:
                os.close(log)

    def _open_log(self) -> int:
        # While the file is being replaced, its new log is missing for a moment.
        for _ in range(_TRIES):
            try:
                return os.open(f"{self._path}-wal", os.O_RDWR)
            except FileNotFoundError:
                self._stopping.wait(_TRY_AGAIN)
        return os.open(f"{self._path}-wal", os.O_RDWR)

    def _sync(self, log: int) -> None:
        os.fdatasync(log)
        if self.failure is not None:
            self._rewrite()
            logger.warning("%s can be synced again", self._path)
            self.failure = None
            self._backoff.reset()
