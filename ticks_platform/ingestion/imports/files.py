"""Imports files: each row once, whatever ends the process in between, then candles and gaps."""

from __future__ import annotations

import csv
import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds import csv_rows, file_formats
from ticks_platform.feeds.files import FileHeader
from ticks_platform.feeds.polygon import flat_file
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import steady_ns
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.imports import parquet_frames
from ticks_platform.ingestion.imports.file_frames import FileError, FileFrames, Frames, KeepsLine, first_line
from ticks_platform.ingestion.imports.loader import FileLoader, OthersLeftOut
from ticks_platform.ingestion.imports.options import Imported, Options, Progress, Source
from ticks_platform.ingestion.imports.parquet_frames import ParquetFrames
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair.lease import take_when_free
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import DecodedBatch, decode_groups
from ticks_platform.timescale import failures, server_clock, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import to_nanoseconds

logger = logging.getLogger(__name__)

_NAMESPACE = uuid.UUID("6f0f2a49-5c7b-4f07-9a07-3a2d9f3ce0c1")
"""Of the ids of files."""

_ENOUGH_REJECTED = 100
"""First rows, without one that can be stored, which tell that a file is none of what was said."""

_LEASE_INTERVAL = 1.0
"""Seconds between attempts to take the lease."""


class NotForThisFeedError(ActionRequiredError):
    """These files cannot be ticks of this feed; the message says why."""


class _File(NamedTuple):
    path: Path
    name: str
    header: FileHeader
    journal_id: str
    format: str
    """Of the file, with the kind of its rows if they are no trades."""


class Import:
    """Imports files as ticks of one feed, whose ingestion may run."""

    def __init__(self, *, feed: FeedSettings, database: Database, owner: str, options: Options) -> None:
        """Raises NotForThisFeedError."""
        self._feed = feed
        self._database = database
        self._owner = owner
        self._options = options
        self._asked = AskedSymbols.of(feed)
        connector = feed.keyless_connector()
        self._markets = [name for name in feed.symbol_names() if connector.many_names(name) is not None]
        """Symbols that stand for many, such as all of a market."""
        self._stopping = threading.Event()
        self._loader: FileLoader | None = None
        self._frames: Frames | None = None
        self._current: Progress | None = None
        _check(feed, options)

    def stop(self) -> None:
        """Let `run` return soon; what is committed stays. Safe from any thread."""
        self._stopping.set()
        if self._loader is not None:
            self._loader.abandon()

    def progress(self) -> Progress | None:
        """How far the file is that is loaded now. Safe from any thread."""
        current, frames = self._current, self._frames
        return None if current is None or frames is None else current._replace(bytes_read=frames.bytes_read)

    def run(
        self, files: Sequence[Path | Source], *, done: Callable[[Imported], None] = lambda _: None
    ) -> list[Imported]:
        """Load files, one after the other; `done` is told of each.

        All files are looked at before the first one is loaded. Waits while the feed is repaired. Raises FileError,
        MixedDatabaseError, LeaseLostError and DatabaseUnavailableError.
        """
        looked_at = [self._look_at(file if isinstance(file, Source) else Source(file, str(file))) for file in files]
        lease = self._take_lease()
        if lease is None:
            return []
        with self._database.transaction() as cursor:
            error = self._asked.try_earlier(cursor, self._feed.name)
            server_ahead = to_nanoseconds(server_clock.now(cursor)) - steady_ns()
        if error is not None:
            logger.warning(
                "feed %s: not all symbols that it had earlier can be read: %s",
                self._feed.name,
                failures.first_line(error),
            )
        found: list[Imported] = []
        try:
            for file in looked_at:
                if self._stopping.is_set():
                    break
                found.append(self._load(file, lease, server_ahead))
                done(found[-1])
        finally:
            with self._database.transaction() as cursor:
                repair_lease.release(cursor, lease)
        return found

    def _take_lease(self) -> Lease | None:
        """Take the repair lease, as soon as nobody has it; None if stopped. That of a killed process ends by itself."""
        return take_when_free(
            self._database, self._feed, owner=self._owner, stopping=self._stopping, interval=_LEASE_INTERVAL
        )

    def _look_at(self, source: Source) -> _File:
        path, options = source.path, self._options
        if options.format == file_formats.PARQUET:
            header = self._header_of_parquet(path)
        else:
            header = self._header(options.format, path, next(csv.reader([first_line(path)])), options.times, 2)
        file = Path(source.name).name
        kind = flat_file.kind_of(header.columns) if header.format == file_formats.POLYGON else header.kind
        # With other symbols, other rows of it are read.
        what: list[Any] = [self._feed.name, header.format, header.columns, header.times]
        what += [sorted(self._feed.symbol_names()), _digest(path)]
        if header.kind != "trades":
            what.append(header.kind)
        journal_id = str(uuid.uuid5(_NAMESPACE, msgspec.json.encode(what).decode()))
        format_ = options.format if kind == "trades" else f"{options.format} {kind}"
        return _File(path, source.name, msgspec.structs.replace(header, file=file), journal_id, format_)

    def _header(self, format_: str, path: Path, names: Sequence[str], times: str, line: int) -> FileHeader:
        """The header of frames of a file whose columns have these names. Raises FileError."""
        options = self._options
        if format_ == file_formats.POLYGON:
            reason = flat_file.refusal(names)
            kind = flat_file.kind_of(names)
            if reason is None and options.kind not in (None, kind):
                reason = f"it has {kind}, and not {options.kind}"
            if reason is not None:
                raise FileError(f"{path} is no flat file of {options.kind or kind}: {reason}")
            return FileHeader(format_, path.name, line, tuple(names))
        try:
            columns = csv_rows.columns_of(names, dict(options.columns), options.kind or "trades")
        except ValueError as error:
            raise FileError(f"{path}: {error}") from None
        return FileHeader(format_, path.name, line, columns, times, options.kind or "trades")

    def _header_of_parquet(self, path: Path) -> FileHeader:
        schema = parquet_frames.open_file(path).schema_arrow
        names, options = schema.names, self._options
        # A flat file that somebody has converted means what the provider's does.
        is_flat_file = not options.columns and _is_of_stocks(self._feed) and flat_file.refusal(names) is None
        format_ = file_formats.POLYGON if is_flat_file else file_formats.CSV
        header = self._header(format_, path, names, options.times, 1)
        if not is_flat_file:
            column = names[header.columns.index("time")]
            times = parquet_frames.times_of(path, schema, column, options.times)
            header = msgspec.structs.replace(header, times=times)
        return msgspec.structs.replace(header, unit="row")

    def _check_first_rows(self, file: _File, source: Frames) -> None:
        """Raises FileError if none can be stored: else all of a file would go to rejected_event."""
        groups = source.take(max_bytes=1, linger=0, wait=0)
        if not groups:
            return
        decoder = file_formats.decoder(file.header.format)
        reason = _first_problem(decode_groups(groups, decoder.decode))
        if reason is not None:
            source.close()
            raise FileError(f"{file.name}: none of its first rows can be stored, so none is loaded: {reason}")
        source.take_again(groups[0].position)

    def _load(self, file: _File, lease: Lease, server_ahead: int) -> Imported:
        metrics = Metrics()
        with self._database.transaction() as cursor:
            repair_lease.renew(cursor, lease)
            cursor.execute(sql_files.read("queries/imports/is_finished.sql"), {"journal_id": file.journal_id})
            if cursor.fetchone() is not None:
                return Imported(file.path, metrics, is_complete=True, was_known=True, journal_id=file.journal_id)
            number, position, frames = leases.find_checkpoint(
                cursor, self._feed.name, journal_id=file.journal_id, journal_start=None, journal_frames=0
            )
            parameters = {
                "journal_id": file.journal_id,
                "number": number,
                "feed": self._feed.name,
                "file": file.name,
                "format": file.format,
                "position": position,
                "epoch": lease.epoch,
                "symbols": self._markets,
            }
            cursor.execute(sql_files.read("queries/imports/begin.sql"), parameters)
            first, epoch = cursor.fetchone() or (position, lease.epoch)
        others = OthersLeftOut(self._asked)
        places: dict[str, Any] = {"first": first, "position": position, "epoch": epoch}
        opened: dict[str, Any] = {"journal_id": file.journal_id, "header": file.header, **places}
        source: Frames
        if self._options.format == file_formats.PARQUET:
            source = ParquetFrames(file.path, now=lambda: steady_ns() + server_ahead, **opened)
        else:
            keeps = _keeps(file.header, others)
            source = FileFrames(file.path, now=lambda: steady_ns() + server_ahead, keeps=keeps, **opened)
        if position == first:
            self._check_first_rows(file, source)
        self._current, self._frames = Progress(file.path, 0, file.path.stat().st_size, metrics), source
        loader = self._loader = FileLoader(
            database=self._database,
            lease=lease._replace(journal_number=number, position=position, frames=frames),
            decoder=file_formats.decoder(file.header.format),
            frames=source,
            metrics=metrics,
            others=others,
            # A killed run may not have known a symbol that was taken out of feeds.yaml since.
            read_whole=None if position == first else AskedSymbols.of(self._feed),
            secondary=not self._feed.candles,
        )
        if self._stopping.is_set():
            loader.abandon()
        try:
            loader.run()
        finally:
            source.close()
        if self._stopping.is_set():
            return Imported(file.path, metrics, is_complete=False, was_known=False, journal_id=file.journal_id)
        with self._database.transaction() as cursor:
            repair_lease.renew(cursor, lease)
            cursor.execute(sql_files.read("queries/imports/finish.sql"), {"journal_id": file.journal_id})
        return Imported(file.path, metrics, is_complete=True, was_known=False, journal_id=file.journal_id)


def _first_problem(batch: DecodedBatch) -> str | None:
    """Why no row of a batch of many can be stored; None if one can."""
    if len(batch.rejected) < _ENOUGH_REJECTED or any(rows.events for rows in batch.rows):
        return None
    return batch.rejected[0].reason


def _check(feed: FeedSettings, options: Options) -> None:
    if feed.synthetic != options.synthetic:
        raise NotForThisFeedError(
            f"feed '{feed.name}' has synthetic ticks of the stand-in, and files have live ones unless --synthetic says "
            "that they are made up: give --feed one with live ticks, and a database of its own"
            if feed.synthetic
            else f"feed '{feed.name}' has live ticks: files with made-up ones (--synthetic) must not be beside them"
        )
    if options.format == file_formats.POLYGON:
        if not _is_of_stocks(feed):
            raise NotForThisFeedError(
                f"feed '{feed.name}' is not of Polygon's stocks, and {file_formats.POLYGON} is of these"
            )
        if options.columns:
            raise NotForThisFeedError(f"the columns of {file_formats.POLYGON} are known; --column is for csv")


def _is_of_stocks(feed: FeedSettings) -> bool:
    return feed.provider == "polygon" and feed.options.get("market", "stocks") == "stocks"


def _keeps(header: FileHeader, others: OthersLeftOut) -> KeepsLine | None:
    """Which lines of a flat file are of the feed's symbols: its first column tells, usually."""
    if header.columns[0] != "ticker":
        return None
    known: dict[bytes, bool] = {}

    def keeps(line: bytes) -> bool:
        name = line[: line.find(b",")]
        kept = known.get(name)
        if kept is None:
            # What is no plain name is read like any other row, and rejected if it has none.
            text = name.decode("utf-8", "replace")
            kept = known[name] = not text.isascii() or text[:1] in ('"', "") or others.has(text)
        return kept

    return keeps


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()
