"""Proves that nothing was lost or doubled: compares the ledger with the tables, and journals with the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2.errors

from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import JournalView, journal_view
from ticks_platform.quantities import counted
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_ATTEMPTS = 20
"""How often a journal is read, a few milliseconds apart, until it is ahead of its checkpoint."""

BUDGET = 20_000_000
"""Ticks that are read at a time to prove hours that are due, beside those of the last two hours: some five seconds.
More at high rates: three quarters of what an hour has."""

SLICED = 1_000_000
"""Rows of an hour from which it is read by ten minutes, of which late ticks then make some due and not all."""

_DEADLOCKS = 3
"""How often hours are compared until no other check is in the way."""


class Account(NamedTuple):
    """A feed's ledger, and the numbers that it must agree with, at one moment."""

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
    """Rows in rejected_event, and those that retention has deleted."""
    frames_committed: int

    def problems(self) -> list[str]:
        """A message for each pair of numbers that differ; empty if the account balances."""
        pairs = (
            (
                "events received",
                self.events,
                "loaded + replaced + duplicate + rejected + control",
                self.loaded + self.replaced + self.duplicate + self.rejected + self.control,
            ),
            ("events loaded", self.loaded, "in the hours of feed_hour", self.loaded_by_hour),
            (
                "events rejected",
                self.rejected,
                "rows in rejected_event, with those that retention deleted",
                self.events_set_aside,
            ),
            ("frames in the ledger", self.frames, "frames committed from journals", self.frames_committed),
        )
        return [
            f"feed {self.feed}: {first:,} {left}, but {second:,} {right}"
            for left, first, right, second in pairs
            if first != second
        ]


class Hours(NamedTuple):
    """Events loaded by hour, compared with the rows in the tables, at one moment."""

    compared: int
    """Hours of feeds that were compared."""
    stored: int
    """Rows in those hours."""
    by_hand: int
    """Rows that were inserted by hand in hours that were looked at, which nobody has counted."""
    differing: int
    examples: list[dict[str, Any]]
    """The newest hours that differ: feed, destination, hour, until, loaded, gone, stored, and whether the ticks were
    changed."""
    missing: Sequence[dict[str, Any]] = ()
    """What is gone of each table and was not declared: destination, rows, hours, begins_at, ends_at."""

    def problems(self) -> list[str]:
        """A message for each table with missing rows, then for each example; empty if every hour has its rows."""
        missing = [
            f"{row['rows']:,} rows of {row['destination']} from {row['begins_at']} to {row['ends_at']} UTC "
            f"({row['hours']:,} h) are gone, and retention did not drop them. Restore them, or, if they are meant "
            f"to be gone, declare it: `ticks declare gone {row['destination']} --from '{row['begins_at']}' "
            f"--to '{row['ends_at']}' --reason …`"
            for row in self.missing
        ]
        found = [_changed(row) if row.get("changed") else _other_number(row) for row in self.examples]
        more = self.differing - len(found)
        return [*missing, *found, *([f"and {more:,} more hours"] if more else [])]


def _other_number(row: dict[str, Any]) -> str:
    return (
        f"feed {row['feed']}: {row['loaded']:,} events loaded of the hour {row['hour']} UTC, but "
        f"{row['stored']:,} rows in {row['destination']}"
        + (f" and {row['gone']:,} gone with a reason" if row.get("gone") else "")
    )


def _changed(row: dict[str, Any]) -> str:
    return (
        f"feed {row['feed']}: the {row['stored']:,} ticks of the hour {row['hour']} UTC are not those that were "
        "loaded: somebody changed price, size, updates or tick_id, or deleted some and added others. Restore them, "
        f"or, if they are meant to be so, declare it: `ticks declare gone {row['destination']} --from '{row['hour']}' "
        f"--to '{row['until']}' --reason …`"
    )


class JournalAccount(NamedTuple):
    """The frames that were appended to a journal, and those that were committed or wait."""

    feed: str
    appended: int
    committed: int
    waiting: int
    waiting_bytes: int

    def problems(self) -> list[str]:
        """A message if frames are missing, or there are too many; empty if the account balances."""
        if self.appended == self.committed + self.waiting:
            return []
        return [
            f"feed {self.feed}: {self.appended:,} frames appended to its journal, but {self.committed:,} committed and "
            f"{self.waiting:,} waiting"
        ]


class Orphan(NamedTuple):
    """A journal that no feed uses: its feed is no longer in feeds.yaml, or uses another file."""

    path: Path
    feed: str
    waiting: int
    waiting_bytes: int

    def problems(self) -> list[str]:
        """A message with what to do, if frames wait in it."""
        if not self.waiting:
            return []
        return [
            f"{self.waiting:,} frames wait in {self.path}, an orphaned journal of feed {self.feed}: no feed of "
            "feeds.yaml uses it. Add the feed again, or load them with `ticks replay "
            f"{self.path} --feed NAME` and remove the file"
        ]


class JournalFolder(NamedTuple):
    """The journals in a folder."""

    accounts: list[JournalAccount]
    """Those of the feeds in feeds.yaml, one or two per feed."""
    orphans: list[Orphan]
    unreadable: list[str]
    """A message for each file that cannot be read."""
    damaged: list[Path]
    """Files that were set aside."""

    def joined(self, other: JournalFolder) -> JournalFolder:
        """The journals in this folder and in another one."""
        return JournalFolder(
            self.accounts + other.accounts,
            self.orphans + other.orphans,
            self.unreadable + other.unreadable,
            self.damaged + other.damaged,
        )

    def notices(self) -> list[str]:
        """A message for each file that was set aside as damaged, with what to do."""
        return [
            f"{path} was set aside as damaged: recover its readable rows (`sqlite3 {path.name} .recover`), then "
            "move it away"
            for path in self.damaged
        ]


def accounts(cursor: Cursor) -> list[Account]:
    """The accounts of all feeds that have received or stored anything."""
    cursor.execute(sql_files.read("queries/checks/ledger_balances.sql"))
    return [Account(*row) for row in cursor.fetchall()]


def hours(
    cursor: Cursor,
    *,
    everything: bool = False,
    oldest: bool = False,
    fresh: timedelta = timedelta(0),
    budget: int = BUDGET,
    sliced: int = SLICED,
    patience: bool = False,
) -> Hours:
    """Compare hours with the tables: rows by number, ticks also by their fingerprint, which proves them.

    It reads the ticks that are new, the hours that are over and not proven as they are now, and those that were read
    longer ago than `fresh`, the oldest first: of both as many as have `budget` rows. Or those whose proof is the
    `oldest`: as many, or a thirtieth of all. Or `everything` in the tables, except sealed chunks. With `patience`, an
    hour that was wrong is read again only when its time has come. Of an hour of `sliced` rows, late ticks make ten
    minutes due, and not all of it.
    A difference is checked a second time, by the whole hour: the query does not see a chunk that is created after it
    was planned, and parts of the hour may be known from before.
    """
    query = sql_files.read("queries/checks/hours_are_complete.sql")
    parameters = {"everything": everything, "oldest": oldest, "fresh": fresh, "budget": budget, "patience": patience}
    parameters["sliced"] = sliced
    again: Sequence[datetime] = []
    for is_final in (False, True):
        row = _compared(cursor, query, {**parameters, "again": list(again), "is_final": is_final})
        *numbers, wrong_hours = row
        found = Hours(*numbers)
        if not found.differing:
            break
        again = [] if everything else wrong_hours
    return found


def _compared(cursor: Cursor, query: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    for remaining in reversed(range(_DEADLOCKS)):
        try:
            cursor.execute(query, parameters)
        except psycopg2.errors.DeadlockDetected:
            # Somebody else proves the same hours.
            if not remaining:
                raise
        else:
            break
    row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None
    return row


class Proof(NamedTuple):
    """How much of the ticks is proven to be as it was loaded."""

    hours: int
    """Hours of feeds that are over and not gone."""
    proven: int
    """Those that are proven as they are now."""
    until: datetime | None
    """All hours that end until then are proven; None if none is."""
    oldest: datetime | None
    """When the one was proven whose proof is the oldest."""

    def words(self) -> str:
        """How much is proven, until when, and how old the oldest proof is."""
        if not self.hours:
            return "no hour is over yet, so none is proven"
        proven = f"{self.proven:,} of {counted(self.hours, 'hour')} {'is' if self.hours == 1 else 'are'} proven"
        if self.until is None or self.oldest is None:
            return proven
        return (
            f"{proven}, all until {self.until:%Y-%m-%d %H:%M} UTC; the "
            f"oldest proof is of {self.oldest:%Y-%m-%d %H:%M} UTC"
        )


def proof(cursor: Cursor) -> Proof:
    """How much of the ticks is proven."""
    cursor.execute(sql_files.read("queries/checks/hours_proven.sql"))
    return Proof(*(cursor.fetchone() or (0, 0, None, None)))


def fill_fingerprints(cursor: Cursor, *, budget: int = BUDGET) -> int:
    """Compute the fingerprints of hours that have none, the newest first, as many as have `budget` rows.

    What is there counts then, if the number is right. Each is a transaction of its own if the cursor is in none.
    Returns how many hours got one.
    """
    cursor.execute(sql_files.read("queries/ledger/without_fingerprint.sql"), {"budget": budget})
    filled = 0
    for feed, hour in cursor.fetchall():
        cursor.execute("SELECT ticks_platform.fill_fingerprint(%s, %s)", (feed, hour))
        filled += cursor.fetchone() == (True,)
    return filled


def journal_account(cursor: Cursor, feed: str, path: Path) -> JournalAccount | None:
    """The account of a feed's journal on this machine, or None if there is none, or the database does not know it.

    Safe while the feed is ingested: the journal is read at one moment, then the checkpoint; both are read again if the
    checkpoint is ahead of the journal. If it always is, the database has loaded frames that the journal does not have,
    and the account shows that. The caller must not be in a transaction. Raises JournalError.
    """
    if not path.exists():
        return None
    for _ in range(_ATTEMPTS):
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
    """The journals in a folder, of any feed; `feeds` are those of feeds.yaml.

    No error is raised because of a file. The caller must not be in a transaction.
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
        except (JournalError, OSError, TypeError) as error:  # a TypeError if the table `journal` has no row
            found.unreadable.append(str(error) if path.name in str(error) else f"{path} cannot be read: {error}")
    return found


def journal_ids(*folders: Path) -> set[str]:
    """The ids of the journals in these folders; a file that cannot be read has none."""
    found = set()
    for path in (path for folder in folders for path in folder.glob("*.sqlite3")):
        with contextlib.suppress(JournalError, OSError, TypeError), journal_view(path) as journal:
            found.add(journal.journal_id)
    return found


def _orphan(cursor: Cursor, path: Path) -> Orphan:
    """Only the waiting frames: its account may never balance, because it is a copy, or lost its end."""
    with journal_view(path) as journal:
        checkpoint = _checkpoint(cursor, journal)
        waiting = journal.waiting_after(0 if checkpoint is None else checkpoint[0])
        return Orphan(path, journal.feed, waiting.frames, waiting.bytes)


def _checkpoint(cursor: Cursor, journal: JournalView) -> tuple[int, int] | None:
    """The committed position and number of frames of a journal; None if the database does not know it."""
    cursor.execute(
        "SELECT position, frames_before + frames FROM ticks_platform.feed_checkpoint WHERE journal_id = %s",
        (journal.journal_id,),
    )
    row = cursor.fetchone()
    return (row[0], row[1]) if row else None
