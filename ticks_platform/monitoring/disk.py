"""The journals of this machine and the disk that they are on. Needs no database."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal import space
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.paths import journal_path, state_dir

LEAST_FREE = 0.05
"""Share of the disk below which it is nearly full, unless LEAST_FREE_BYTES are free."""

LEAST_FREE_BYTES = 5 << 30
FULL_BYTES = 8 << 20
"""Bytes below which the disk counts as full: SQLite and the file system need some."""

_PROBE_BYTES = 4096


class Disk(NamedTuple):
    """The disk of the state folder."""

    path: Path
    free: int
    """Bytes that may be written."""
    size: int
    unwritable: str | None
    """Why nothing can be written there; None if that works."""

    @property
    def is_full(self) -> bool:
        """Whether hardly anything can be written."""
        return self.free < FULL_BYTES

    @property
    def is_nearly_full(self) -> bool:
        """Whether it will be full soon."""
        return self.free < min(LEAST_FREE_BYTES, LEAST_FREE * self.size)


class JournalUse(NamedTuple):
    """How far the journals of a feed are filled."""

    feed: str
    used: int
    """Bytes of the file that frames take, which are not committed."""
    limit: int
    """Bytes of the file that they may take."""

    @property
    def share(self) -> float:
        """The part of the limit that is used; near 1, reading is paused."""
        return self.used / self.limit


def disk() -> Disk | None:
    """The disk of the journals, or of the state folder while there are none; None before anything is stored there."""
    folder = next((path for path in (journal_path("any").parent, state_dir()) if path.is_dir()), None)
    if folder is None:
        return None
    found = shutil.disk_usage(folder)
    return Disk(folder, found.free, found.total, _why_not_writable(folder))


def journals(feeds: Sequence[FeedSettings]) -> Iterator[JournalUse]:
    """The journals of these feeds on this machine; of a feed with two, the fuller one."""
    for feed in feeds:
        used = [_used(path) for path in journal_pair(journal_path(feed.name)) if path.exists()]
        if used:
            yield JournalUse(feed.name, max(used), space.Budget.of(feed.journal.max_megabytes << 20).file)


def _used(path: Path) -> int:
    # Another program's file holds nothing of a feed; `ticks doctor` tells of it.
    with contextlib.suppress(JournalError, OSError), journal_view(path) as journal:
        return journal.used
    return 0


def _why_not_writable(folder: Path) -> str | None:
    # Rights alone do not tell: a disk may be mounted again without writing after an error.
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * _PROBE_BYTES)
    except OSError as error:
        return error.strerror or str(error)
    return None
