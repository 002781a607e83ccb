"""The database and the folder of a benchmark run."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import sqlalchemy

import embedded_timescale
from ticks_platform.timescale import columnstore, sql_files
from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.database import Database

_CANDLES = (ONE_MINUTE.file, ONE_HOUR.file)

_TABLES = (
    "stocks_real_time, tutorial.stocks_real_time, pathway_ticks, cryptofeed_trades, "
    "ticks_platform.feed, ticks_platform.feed_lease, "
    "ticks_platform.feed_checkpoint, ticks_platform.feed_ledger, ticks_platform.feed_session, "
    "ticks_platform.rejected_event"
)


class Workbench:
    """A new database with the platform's tables, indexes and candles, and a folder for journals."""

    def __init__(self, url: str, folder: Path, *, is_embedded: bool) -> None:
        self.url = url
        self.folder = folder
        self.database = Database(url)
        self.is_embedded = is_embedded
        with self.database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.HYPERTABLE, *sql_files.MACHINERY)
            for file in ("tutorial.sql", "peers.sql"):
                cursor.execute((Path(__file__).parent / file).read_text(encoding="utf-8"))
        with self.database.autocommit() as cursor:
            for candle in _CANDLES:
                cursor.execute(sql_files.read(candle))
            cursor.execute(
                "SELECT extversion, current_setting('server_version') FROM pg_extension WHERE extname = 'timescaledb'"
            )
            timescaledb, postgresql = cursor.fetchone() or ("?", "?")
            # The loader's own check: older releases have the setting too, but it does not use them.
            self.has_direct_compress = columnstore._is_supported(cursor)
        kind = "embedded" if is_embedded else "native"
        self.description = f"{kind}, PostgreSQL {postgresql.split()[0]}, TimescaleDB {timescaledb}"

    def empty(self) -> None:
        """Empty all tables and write dirty pages, so that every measurement starts in the same state."""
        with self.database.autocommit() as cursor:
            cursor.execute(f"TRUNCATE {_TABLES} RESTART IDENTITY CASCADE")
            with contextlib.suppress(psycopg2.Error):  # needs a privilege
                cursor.execute("CHECKPOINT")

    def count(self, relation: str = "stocks_real_time") -> int:
        """Number of rows of a table."""
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT count(*) FROM {relation}")  # noqa: S608  (a name of ours)
            return int((cursor.fetchone() or (0,))[0])

    def journal_file(self) -> Path:
        """The path of a new journal."""
        return self.folder / f"{uuid.uuid4().hex}.sqlite3"


@contextlib.contextmanager
def open_workbench() -> Iterator[Workbench]:
    """Create a database on the server of ``TICKS_DATABASE_URL``, or an embedded one; it is removed afterwards."""
    server = os.environ.get("TICKS_DATABASE_URL")
    with tempfile.TemporaryDirectory(prefix="ticks_bench_") as name:
        folder = Path(name)
        if not server:
            data = folder / "timescaledb"
            try:
                yield Workbench(embedded_timescale.ensure_running(data), folder, is_embedded=True)
            finally:
                embedded_timescale.stop(data)
            return
        database = f"bench_{uuid.uuid4().hex[:12]}"
        _administer(server, f'CREATE DATABASE "{database}"')
        try:
            url = sqlalchemy.make_url(server).set(database=database).render_as_string(hide_password=False)
            yield Workbench(url, folder, is_embedded=False)
        finally:
            _administer(server, f'DROP DATABASE "{database}" WITH (FORCE)')


def _administer(url: str, statement: str) -> None:
    with Database(url).autocommit() as cursor:
        cursor.execute(statement)
