"""Proof that nothing was lost or doubled: the ledger against the tables, and the journals against the ledger."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import JournalView, journal_view
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


_ROUNDS = 20
"""Looks at a journal, each some milliseconds after the one before."""


class Account(NamedTuple):
    """What the ledger says of a feed, and what other accounts say, as of one moment."""

    feed: str
    frames: int
    events: int
    loaded: int
    replaced: int
    duplicate: int
    rejected: int
    control: int
    loaded_by_hour: int
    events_set_aside: int
    frames_committed: int

    def problems(self) -> list[str]:
        """Every way in which the account does not balance, in words; empty when it does."""
        pairs = (
            (
                "events received",
                self.events,
                "loaded + replaced + duplicate + rejected + control",
                self.loaded + self.replaced + self.duplicate + self.rejected + self.control,
            ),
            ("events loaded", self.loaded, "in the hours of feed_hour", self.loaded_by_hour),
            ("events rejected", self.rejected, "rows in rejected_event", self.events_set_aside),
            ("frames in the ledger", self.frames, "frames committed out of journals", self.frames_committed),
        )
        return [
            f"feed {self.feed}: {first:,} {left}, but {second:,} {right}"
            for left, first, right, second in pairs
            if first != second
        ]


class Hours(NamedTuple):
    """What was loaded hour by hour beside what is in the tables, as of one moment."""

    compared: int
    """Hours that were compared, each feed's for itself; those that retention has dropped are not among them."""
    stored: int
    """Rows in the tables in those hours."""
    differing: int
    examples: list[dict[str, Any]]
    """The newest of those that differ: feed, destination, hour, loaded, stored."""

    def problems(self) -> list[str]:
        """In words; empty when every hour has the rows that were loaded."""
        found = [
            f"feed {row['feed']}: {row['loaded']:,} events loaded of the hour {row['hour']} UTC, but "
            f"{row['stored']:,} rows in {row['destination']}"
            for row in self.examples
        ]
        more = self.differing - len(found)
        return [*found, f"and {more:,} more hours"] if more else found


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


class Orphan(NamedTuple):
    """A journal that no feed goes on with: its feed is not in feeds.yaml any more, or has another file."""

    path: Path
    feed: str
    waiting: int
    waiting_bytes: int

    def problems(self) -> list[str]:
        """In words, with what to do, when frames wait in it."""
        if not self.waiting:
            return []
        return [
            f"{self.waiting:,} frames wait in {self.path}, a journal of feed {self.feed} that no feed of feeds.yaml "
            "goes on with: put the feed back, or load them with `python -m ticks_platform.ingestion replay "
            f"{self.path} --feed NAME` and remove the file"
        ]


class JournalFolder(NamedTuple):
    """All that lies in the folder of the journals."""

    accounts: list[JournalAccount]
    """Those of the feeds in feeds.yaml, each of which has one or two."""
    orphans: list[Orphan]
    unreadable: list[str]
    """Why a file cannot be read, for each that cannot."""
    damaged: list[Path]
    """Files that were set aside."""

    def joined(self, other: JournalFolder) -> JournalFolder:
        """What lies in this folder and in another one."""
        return JournalFolder(
            self.accounts + other.accounts,
            self.orphans + other.orphans,
            self.unreadable + other.unreadable,
            self.damaged + other.damaged,
        )

    def notices(self) -> list[str]:
        """What is known of files that were set aside as damaged, with what to do."""
        return [
            f"{path} was set aside as damaged: save what can be read of it (`sqlite3 {path.name} .recover`), then move "
            "it away"
            for path in self.damaged
        ]


def accounts(cursor: Cursor) -> list[Account]:
    """The account of every feed that has received or stored anything."""
    cursor.execute(sql_files.read("queries/checks/ledger_balances.sql"))
    return [Account(*row) for row in cursor.fetchall()]


def hours(cursor: Cursor, *, everything: bool = False) -> Hours:
    """Compare the hours that changed within the last two hours, or `everything` that is in the tables, in one scan.

    A difference is looked at twice: a chunk that is made after the query was planned has no rows in it yet.
    """
    query = sql_files.read("queries/checks/hours_are_complete.sql")
    for _ in range(2):
        cursor.execute(query, {"everything": everything})
        row = cursor.fetchone()
        assert row is not None
        found = Hours(*row)
        if not found.differing:
            break
    return found


def journal_account(cursor: Cursor, feed: str, path: Path) -> JournalAccount | None:
    """The account of a feed's journal on this machine, or None when there is none or this database never saw it.

    Safe while the feed is ingested: the journal is held as of one moment while the database is asked, and asked again
    when the commits have overtaken that moment. When they always have, the database has loaded what the journal does
    not have, and the account shows it. The caller must not be in a transaction. Raises JournalError.
    """
    if not path.exists():
        return None
    for _ in range(_ROUNDS):
        with journal_view(path) as journal:
            checkpoint = _checkpoint(cursor, journal)
            if checkpoint is None:
                return None
            position, committed = checkpoint
            if position <= journal.end:
                waiting = journal.waiting_after(position)
                return JournalAccount(feed, journal.frames_appended, committed, waiting.frames, waiting.bytes)
    return JournalAccount(feed, journal.frames_appended, committed, 0, 0)


def journal_folder(cursor: Cursor, folder: Path, feeds: Collection[str]) -> JournalFolder:
    """Look at every journal in a folder, whosever it is; `feeds` are those of feeds.yaml.

    Nothing is raised because of a file. The caller must not be in a transaction.
    """
    found = JournalFolder([], [], [], [])
    for path in sorted(folder.glob("*.sqlite3")):
        if ".damaged-" in path.name:
            found.damaged.append(path)
            continue
        try:
            with journal_view(path) as journal:
                feed = journal.feed
            if feed in feeds and path in journal_pair(folder / f"{feed}{path.suffix}"):
                account = journal_account(cursor, feed, path)
                if account is not None:
                    found.accounts.append(account)
            else:
                found.orphans.append(_orphan(cursor, path))
        except (JournalError, OSError, TypeError) as error:  # a TypeError where the table `journal` has no row
            found.unreadable.append(str(error) if path.name in str(error) else f"{path} cannot be read: {error}")
    return found


def _orphan(cursor: Cursor, path: Path) -> Orphan:
    """Only what waits: it may be a copy, or have lost its end, and nobody will ever make its account balance."""
    with journal_view(path) as journal:
        checkpoint = _checkpoint(cursor, journal)
        waiting = journal.waiting_after(0 if checkpoint is None else checkpoint[0])
        return Orphan(path, journal.feed, waiting.frames, waiting.bytes)


def _checkpoint(cursor: Cursor, journal: JournalView) -> tuple[int, int] | None:
    """Position and frames of a journal that are committed; None when this database never saw it."""
    cursor.execute(
        "SELECT position, frames_before + frames FROM ticks_platform.feed_checkpoint WHERE journal_id = %s",
        (journal.journal_id,),
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None
