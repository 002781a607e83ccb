"""Proof that nothing was lost or doubled: the ledger against the tables, and the journal against the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.ingestion import journal as journals
from ticks_platform.timescale import scripts

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


_ROUNDS = 20
"""Looks at a journal, each some milliseconds after the one before."""


class Account(NamedTuple):
    """What the ledger says of a feed, and what is in the tables, as of one moment."""

    feed: str
    frames: int
    events: int
    loaded: int
    duplicate: int
    rejected: int
    control: int
    ticks_stored: int
    events_set_aside: int
    frames_committed: int

    def problems(self) -> list[str]:
        """Every way in which the account does not balance, in words; empty when it does."""
        pairs = (
            (
                "events received",
                self.events,
                "loaded + duplicate + rejected + control",
                self.loaded + self.duplicate + self.rejected + self.control,
            ),
            ("ticks loaded", self.loaded, "rows in stocks_real_time", self.ticks_stored),
            ("events rejected", self.rejected, "rows in rejected_event", self.events_set_aside),
            ("frames in the ledger", self.frames, "frames committed out of journals", self.frames_committed),
        )
        return [
            f"feed {self.feed}: {first:,} {left}, but {second:,} {right}"
            for left, first, right, second in pairs
            if first != second
        ]


class JournalAccount(NamedTuple):
    """What one journal took in, beside what became of it."""

    feed: str
    appended: int
    committed: int
    waiting: int
    waiting_bytes: int

    def problems(self) -> list[str]:
        """In words, when frames are missing or there are too many; empty when the account balances."""
        if self.appended == self.committed + self.waiting:
            return []
        return [
            f"feed {self.feed}: its journal took in {self.appended:,} frames, but {self.committed:,} are committed and "
            f"{self.waiting:,} wait"
        ]


def accounts(cursor: Cursor) -> list[Account]:
    """The account of every feed that has received or stored anything."""
    cursor.execute(scripts.read("checks/ledger_balances.sql"))
    return [Account(*row) for row in cursor.fetchall()]


def journal_account(cursor: Cursor, feed: str, path: Path) -> JournalAccount | None:
    """The account of a feed's journal on this machine, or None when there is none or this database never saw it.

    Safe while the feed is ingested: the journal is held as of one moment while the database is asked, and asked again
    when the commits have overtaken that moment. When they always have, the database has loaded what the journal does
    not have, and the account shows it. The caller must not be in a transaction. Raises JournalError.
    """
    if not path.exists():
        return None
    for _ in range(_ROUNDS):
        with journals.snapshot(path) as snapshot:
            cursor.execute(
                "SELECT position, frames_before + frames FROM ticks_platform.feed_checkpoint WHERE journal_id = %s",
                (snapshot.journal_id,),
            )
            row = cursor.fetchone()
            if row is None:
                return None
            position, committed = row
            if position <= snapshot.end:
                waiting = snapshot.beyond(position)
                return JournalAccount(feed, snapshot.frames_appended, committed, waiting.frames, waiting.bytes)
    return JournalAccount(feed, snapshot.frames_appended, committed, 0, 0)
