"""What the database has heard of each journal, so that one whose machine is gone stays in the account.

The owner of a feed tells with its heartbeats where its journal is and how far it goes. How much of that waits follows
from the checkpoint, whoever moves it: the owner, its successor, or a replay on another machine.
"""

from __future__ import annotations

import functools
import logging
import socket
import uuid
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion.lease import DEAD_AFTER
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import attempt

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two reports of a journal."""


class OpenJournal(Protocol):
    """A journal that this process has opened."""

    journal_id: str

    @property
    def path(self) -> Path: ...

    @property
    def end(self) -> int: ...

    @property
    def bytes_waiting(self) -> int: ...

    @property
    def frames_appended(self) -> int: ...


class UnknownJournalError(ActionRequiredError):
    """The database has not heard of this journal."""


class Reporter:
    """Tells the database of the journal that a run appends to."""

    def __init__(self, journal: OpenJournal) -> None:
        self._journal = journal
        self._due_at = 0.0

    def tell(self, cursor: Cursor, *, is_open: bool = True) -> None:
        """Tell of it if it is time to, or if nothing more will be appended."""
        if is_open and boottime() < self._due_at:
            return
        self._due_at = boottime() + INTERVAL
        tell(cursor, self._journal, is_open=is_open)


def tell(cursor: Cursor, journal: OpenJournal, *, is_open: bool) -> None:
    """Tell how far a journal goes; `is_open` tells that more may be appended. Holds nothing up if that fails."""
    parameters = {
        "journal_id": journal.journal_id,
        "host": socket.gethostname(),
        "machine": machine(),
        "file": str(journal.path),
        "from": journal.end - journal.bytes_waiting,
        "to": journal.end,
        "frames": journal.frames_appended,
        "is_open": is_open,
    }
    error = attempt(cursor, lambda: cursor.execute(sql_files.read("queries/checkpoint/tell.sql"), parameters))
    if error is not None:
        logger.warning("cannot tell the database of %s: %s", journal.path, first_line(error))


def replayed(cursor: Cursor, journal_id: str, *, end: int, as_feed: str) -> None:
    """Note that a file of this journal was loaded up to this position; no effect if the journal is known to go on."""
    parameters = {"journal_id": journal_id, "end": end, "feed": as_feed}
    cursor.execute(sql_files.read("queries/checkpoint/replayed.sql"), parameters)


@functools.cache
def machine() -> str:
    """What tells this machine from others of the same host name: its id, or its network address."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()[:12] or f"{uuid.getnode():012x}"
    except (OSError, UnicodeError):
        return f"{uuid.getnode():012x}"


class Elsewhere(NamedTuple):
    """A journal that is not on this machine, as the database has last heard of it."""

    feed: str
    journal_id: str
    host: str
    machine: str
    file: str
    heard_at: datetime
    frames: int
    """Frames that wait in it, at least."""
    bytes: int
    is_open: bool
    """Whether frames may have been appended since."""
    is_owned: bool
    """Whether the feed's owner appends to it now."""

    def problem(self) -> str | None:
        """A message with what to do, if frames wait in it, or may, and no run will load them."""
        if self.is_owned or not (self.frames or self.is_open):
            return None
        where = f"{self.file} on {self.host} (machine {self.machine}), a journal of feed {self.feed} not found here"
        heard = f"last heard of at {self.heard_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.frames:
            more = ", or more, since its run did not end" if self.is_open else ""
            what = f"{self.frames:,} frames ({self.bytes:,} bytes{more}) wait in {where}, {heard}"
        else:
            what = f"frames may wait in {where}: {heard}, with none waiting, but its run did not end"
        return (
            f"{what}. Start the feed there, or load the file with `ticks replay`; if it is lost, `ticks declare lost "
            f"{self.journal_id} --reason …`"
        )

    def declared(self, *, done: bool) -> str:
        """What was declared lost, or would be, in words."""
        return (
            f"feed {self.feed}: {'declared' if done else 'would be declared'} lost: {self.file} on {self.host}, with "
            f"{self.frames:,} frames ({self.bytes:,} bytes) as last heard at {self.heard_at:%Y-%m-%d %H:%M:%S} UTC"
        )


def elsewhere(cursor: Cursor, here: Collection[str] = ()) -> list[Elsewhere]:
    """The journals in which frames wait or may wait, but for those that are `here`."""
    parameters = {"here": list(here), "dead_after": DEAD_AFTER}
    cursor.execute(sql_files.read("queries/checkpoint/elsewhere.sql"), parameters)
    return [Elsewhere(*row) for row in cursor.fetchall()]


def declare_lost(cursor: Cursor, journal_id: str, *, declared_by: str, reason: str) -> None:
    """Declare that a journal is lost, with what waits in it; it counts again once it is heard of.

    Raises UnknownJournalError.
    """
    parameters = {"journal_id": journal_id, "declared_by": declared_by, "reason": reason}
    cursor.execute(sql_files.read("queries/checkpoint/declare_lost.sql"), parameters)
    if not cursor.rowcount:
        raise unknown(journal_id)


def find(cursor: Cursor, journal_id: str) -> Elsewhere:
    """What the database has heard of a journal in which frames wait or may wait. Raises UnknownJournalError."""
    for each in elsewhere(cursor):
        if each.journal_id == journal_id:
            return each
    raise unknown(journal_id)


def unknown(journal_id: str) -> UnknownJournalError:
    """The error for a journal that does not wait for anything."""
    return UnknownJournalError(
        f"the account has no journal {journal_id} in which frames wait: the check ledger_balances names those that it "
        "has"
    )
