"""The ingesting process of the fault test: the real ingestion, which can die at a given place, or have a defect.

It ends cleanly on SIGTERM, and when the test ends. It notes what is appended to its journal in a side file, which the
test compares with the tables.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ticks_platform.feeds.connector import Endpoint
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport import reconnect as connections
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector, TwelveDataConversation
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal, JournalFencedError, JournalUnavailableError
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.rows import ledger, rejected_events
from ticks_platform.ingestion.rows import store as stores
from ticks_platform.ingestion.rows.store import Store
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.events import SYMBOLS, digest
from ticks_platform_tests.support.children import stop_requested

TAKEN_OVER = 3
"""Exit code of an ingester that was replaced by another one."""

FEED = "faults"


class Order(msgspec.Struct, kw_only=True):
    """What an ingester does."""

    run: int
    """Its number, which is among the symbols that it subscribes to, so that the stand-in records it."""
    url: str
    database: str
    journal: str
    side_file: str
    max_megabytes: int
    die: str | None = None
    """A key of DEATHS."""
    times: int = 1
    """It dies when it gets there for the n-th time."""
    freeze: str | None = None
    """If set, it creates this file and stops, as with SIGSTOP, instead of dying."""
    mutation: str | None = None
    """A key of MUTATIONS."""


class Takeover(msgspec.Struct, tag=True):
    """A line of the side file: the run got this epoch, and continues its journal at this position."""

    run: int
    epoch: int
    at: int
    journal: str
    position: int


class Group(msgspec.Struct, tag=True):
    """A line of the side file: a group of frames in a journal."""

    journal: str
    position: int
    end: int
    epoch: int
    connection: int
    digests: list[str]


class _MarkedConversation(TwelveDataConversation):
    def __init__(self, marks: Sequence[str]) -> None:
        super().__init__()
        self._marks = marks

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return super().subscribe([*channels, *self._marks])


class MarkedConnector(TwelveDataConnector):
    """A Twelve Data connector that also subscribes to the run's and its connection's markers."""

    def __init__(self, *, run: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._run = run
        self._connection = 0

    def endpoint(self) -> Endpoint:
        self._connection += 1
        return super().endpoint()

    def converse(self) -> TwelveDataConversation:
        return _MarkedConversation(markers(self._run, self._connection))


def markers(run: int, connection: int) -> tuple[str, str]:
    """The symbols that identify a run and its connection in the stand-in's account."""
    return f"RUN{run}", f"RUN{run}C{connection}"


def take_notes(order: Order) -> None:
    """Note each epoch, and each group of frames in the journal, in the side file.

    A group is noted after its append, and again when it is taken for loading: if a process is killed between append and
    note, the next one notes the group, so everything that is committed was noted before.
    """
    descriptor = os.open(order.side_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(line: Takeover | Group) -> None:
        # A kill may cut a line short, so the next one begins on a new line.
        os.write(descriptor, b"\n" + msgspec.json.encode(line) + b"\n")

    append, take, take_lease = Journal.append, Journal.take, leases.take

    def append_and_note(journal: Journal, frames: Sequence[Frame], *, epoch: int) -> None:
        try:
            append(journal, frames, epoch=epoch)
        except (JournalFencedError, JournalUnavailableError):
            raise
        except Exception:
            # Exit at once, or a lost lease may be reported first.
            logging.exception("unexpected error of the journal")
            os._exit(1)
        # Only this thread appends, so the group ends at the journal's end.
        end = journal._end
        size = sum(len(frame.data) or 1 for frame in frames)
        digests = [digest(frame.data) for frame in frames]
        note(Group(order.journal, end - size, end, epoch, frames[0].connection, digests))

    def take_and_note(journal: Journal, **limits: Any) -> list[FrameGroup]:
        groups = take(journal, **limits)
        for group in groups:
            digests = [*map(digest, group.frames)]
            note(Group(order.journal, group.position, group.end, group.epoch, group.connection, digests))
        return groups

    def take_lease_and_note(*arguments: Any, **settings: Any) -> leases.Lease:
        lease = take_lease(*arguments, **settings)
        note(Takeover(order.run, lease.epoch, time.time_ns(), order.journal, lease.position))
        return lease

    Journal.append, Journal.take, leases.take = append_and_note, take_and_note, take_lease_and_note  # type: ignore[method-assign, assignment]


def _die() -> None:
    if _frozen_file is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        _frozen_file.touch()
        # Sent to the process, it would let this thread continue for a moment.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


_frozen_file: Path | None = None


def _countdown(times: int) -> Callable[[], None]:
    left = iter(range(times - 1, -1, -1))

    def count() -> None:
        if next(left, None) == 0:
            _die()

    return count


def _around(owner: Any, name: str, times: int, *, before: bool) -> None:
    original, count = getattr(owner, name), _countdown(times)

    def replacement(*arguments: Any, **settings: Any) -> Any:
        if before:
            count()
        result = original(*arguments, **settings)
        if not before:
            count()
        return result

    setattr(owner, name, replacement)


def _in_the_middle_of_a_copy(times: int) -> None:
    class Fatal(io.BytesIO):
        """The data of a COPY; the process dies when half of it is sent."""

        half = False

        def read(self, _size: int | None = -1) -> bytes:
            if not self.tell():
                self.half = True
                return super().read(len(self.getbuffer()) // 2)
            if self.half:
                self.half = False
                _die()
            return super().read()

    original, copies = stores._copy_in, iter(range(1, 1 << 30))

    def copy_in(cursor: Any, table: str, encoded: bytes, columns: Sequence[str], rows: int) -> None:
        if next(copies) != times:
            original(cursor, table, encoded, columns, rows)
            return
        cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)", Fatal(encoded))
        assert cursor.rowcount == rows

    stores._copy_in = copy_in


DEATHS: dict[str, Callable[[int], None]] = {
    "before the journal": lambda times: _around(Journal, "append", times, before=True),
    # Wrapped by the notes, so that it dies before it has noted the group.
    "after the journal": lambda times: _around(Journal, "append", times, before=False),
    "in the middle of a COPY": _in_the_middle_of_a_copy,
    "before the commit": lambda times: _around(ledger, "add", times, before=False),
    # The first trim is part of the start.
    "between commit and trim": lambda times: _around(Journal, "trim", times + 1, before=True),
}
"""Exact places to die at; the ingester gets there only if frames arrive."""


class Mutation(msgspec.Struct):
    """A defect in a method: in its source, `old` is replaced by `new`."""

    owner: Any
    method: str
    old: str
    new: str

    def apply(self) -> None:
        """Replace the method. Raises AssertionError if the mutation is out of date: `old` is not in the source."""
        function = getattr(self.owner, self.method)
        source = getattr(function, "source", None) or textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.method} has changed: there is no {self.old!r} to replace"
        source = source.replace(self.old, self.new)
        namespace: dict[str, Any] = {}
        exec(compile(source, "<mutation>", "exec"), function.__globals__, namespace)
        namespace[self.method].source = source
        setattr(self.owner, self.method, namespace[self.method])


class SqlMutation(msgspec.Struct):
    """A defect in a SQL statement: in its file under sql/, `old` is replaced by `new`."""

    file: str
    old: str
    new: str

    def apply(self) -> None:
        """Replace what `sql_files.read` returns. Raises AssertionError if `old` is not in the file."""
        read = sql_files.read
        statement = read(self.file)
        assert statement.count(self.old) == 1, f"{self.file} has changed: there is no {self.old!r} to replace"
        mutated = statement.replace(self.old, self.new)
        sql_files.read = lambda name: mutated if name == self.file else read(name)


MUTATIONS: dict[str, list[Mutation | SqlMutation]] = {
    "rows stored twice": [
        Mutation(
            Store,
            "_copy",
            "_copy_in(cursor,",
            "_copy_in(cursor, table.name, data, table.columns_of(part), len(part.events)); _copy_in(cursor,",
        ),
    ],
    "checkpoint ignored": [
        SqlMutation("queries/checkpoint/advance.sql", " AND position < %(end)s", ""),
        Mutation(Journal, "seek", "(position,)", "(0,)"),
        Mutation(Journal, "seek", "self.trim(position)", "pass"),
        # The primary key of rejected_event would refuse the batch.
        Mutation(rejected_events, "add", "if rejected:", "if False:"),
    ],
    "trimmed before the commit": [
        Mutation(Loader, "_commit", "stored = self._trans", "self._journal.trim(batch.end); stored = self._trans")
    ],
    "rejected events dropped": [Mutation(rejected_events, "add", "if rejected:", "if False:")],
    "rejected events dropped and not counted": [
        Mutation(Loader, "_commit", "rejected=batch.rejected + stored.refused", "rejected=[]"),
        Mutation(rejected_events, "add", "if rejected:", "if False:"),
        Mutation(ledger, "entries", "events=int(batch.events_of[", "events=int((loaded_of + batch.control_of)["),
    ],
    "journal not fenced": [Mutation(Journal, "_insert", "WHERE generation = ?", "WHERE ? > 0")],
    "nobody fenced off": [
        Mutation(Journal, "_insert", "if not stored:", "if False:"),
        SqlMutation(
            "queries/lease/heartbeat.sql",
            " AND epoch = %(epoch)s AND owner = %(owner)s",
            " AND epoch >= %(epoch)s AND %(owner)s <> ''",
        ),
    ],
    "lease not checked": [
        SqlMutation(
            "queries/lease/heartbeat.sql",
            " AND epoch = %(epoch)s AND owner = %(owner)s",
            " AND epoch >= %(epoch)s AND %(owner)s <> ''",
        ),
    ],
    "last frames not handed over": [
        Mutation(FeedConnection, "_run_connection", "self._flush()", "self._group.clear()")
    ],
    "frames in the wrong order": [Mutation(FeedConnection, "_flush", "on_frames(group)", "on_frames(group[::-1])")],
}
"""Defects that the count must find."""


FULL = f"the journal of feed '{FEED}' is full"
"""What an ingester says of a journal that takes no more, in its trouble and in its log."""

LOST = f"received frames are lost: {FULL}"
"""What it says of those for which its journal had no room when it was stopped."""


def main(order: Order) -> int:
    """Ingest, and return the exit code."""
    logging.basicConfig(level=logging.INFO, format=f"run {order.run} %(asctime)s %(message)s")
    stop = stop_requested()
    # Each connection counts as stable, so that reconnects are quick although the provider drops many.
    connections.STABLE_AFTER = 0.0
    for mutation in MUTATIONS[order.mutation] if order.mutation else ():
        mutation.apply()
    if order.die is not None:
        global _frozen_file
        _frozen_file = Path(order.freeze) if order.freeze else None
        DEATHS[order.die](order.times)
    take_notes(order)
    feed = FeedSettings.model_validate(
        {
            "name": FEED,
            "provider": "twelve_data",
            "endpoint": "stand-in",
            "symbols": list(SYMBOLS),
            "journal": {"max_megabytes": order.max_megabytes},
        }
    )
    ingestion = Ingestion(
        feed=feed,
        connector=MarkedConnector(run=order.run, url=order.url, api_key="faults"),
        database=Database(order.database),
        owner=f"run {order.run}",
        journal_file=Path(order.journal),
    )
    try:
        with ingestion:
            told_at = 0.0
            while not stop.is_set() and not ingestion.wait(0.02):
                trouble = ingestion.progress().trouble or ""
                # Again while it lasts, since a campaign looks for what was said after it began to fill the journal.
                if FULL in trouble and time.monotonic() - told_at > 1.0:
                    logging.warning("%s", trouble)
                    told_at = time.monotonic()
        ingestion.wait(0)
    except (LeaseLostError, JournalFencedError) as error:
        logging.warning("%s", error)
        return TAKEN_OVER
    return 0
