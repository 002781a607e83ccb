"""The dump as files, and how it comes into a database and a state folder."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

FOLDER = Path(__file__).parent / "dump"
EARLIER = Path(__file__).parent / "earlier"
"""The dump of a commit that neither proved anything nor noted what retention had dropped."""
OLDER = Path(__file__).parent / "older"
"""The dump of a release whose day_volume was a whole number, and whose candles did not know conditions of trades."""

TICKS = "stocks_real_time"
CANDLES = ("one_minute_candle", "one_hour_candle", "one_day_candle")
VIEWS = ("one_minute_candle_volume", "one_minute_candle_filled", "session_day_candle")

_TABLES = """
SELECT CASE WHEN schemaname = 'public' THEN tablename ELSE schemaname || '.' || tablename END
FROM pg_tables
WHERE schemaname IN ('public', 'ticks_platform')
ORDER BY 1
"""

_SET_CREATION_TIME = """
UPDATE _timescaledb_catalog.chunk AS known SET creation_time = %(made_at)s
FROM timescaledb_information.chunks AS shown
WHERE shown.hypertable_name = %(hypertable)s AND shown.range_start = %(begins_at)s
    AND format('%%I.%%I', chunk_schema, chunk_name)::regclass::text = coalesce(
        -- Newer releases have the one, older ones the other.
        to_jsonb(known) ->> 'relid',
        format('%%I.%%I', to_jsonb(known) ->> 'schema_name', to_jsonb(known) ->> 'table_name')
    )
"""

_CSV = "FORMAT csv, HEADER, NULL '\\N'"
"""An empty text is nothing between two commas, which is not NULL here."""


class Rows(NamedTuple):
    """Rows of a table as texts, as the database writes them in CSV; NULL is ``\\N``."""

    columns: tuple[str, ...]
    values: list[tuple[str, ...]]

    def column(self, name: str) -> list[str]:
        """The values of one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.values]

    def of(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """The values of these columns, sorted."""
        places = [self.columns.index(column) for column in columns]
        return sorted(tuple(row[place] for place in places) for row in self.values)


def read(path: Path) -> Rows:
    """The rows in a file of the dump."""
    with path.open(encoding="utf-8", newline="") as file:
        columns, *values = csv.reader(file)
    return Rows(tuple(columns), [tuple(row) for row in values])


def write(path: Path, rows: Rows) -> None:
    """Write a file of the dump."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(rows.values)


def names_of_tables(cursor: Cursor) -> list[str]:
    """All tables of the platform; those of the machinery with their schema."""
    cursor.execute(_TABLES)
    return [row[0] for row in cursor.fetchall()]


def rows_of(cursor: Cursor, relation: str, columns: Sequence[str] | None = None) -> Rows:
    """The rows of a table or view, or these columns of them."""
    chosen = sql.SQL("*") if columns is None else sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("SELECT {} FROM {} AS read ORDER BY read").format(chosen, _identifier(relation))
    cursor.execute("SET timezone = 'UTC'")
    text = io.StringIO()
    cursor.copy_expert(sql.SQL("COPY ({}) TO STDOUT ({})").format(query, sql.SQL(_CSV)), text)
    header, *values = csv.reader(io.StringIO(text.getvalue(), newline=""))
    return Rows(tuple(header), [tuple(row) for row in values])


def _identifier(relation: str) -> sql.Identifier:
    return sql.Identifier(*relation.split("."))


class Chunk(NamedTuple):
    """A chunk of a hypertable, by what it has and not by its name."""

    hypertable: str
    begins_at: str
    ends_at: str
    is_compressed: bool
    made_at: str


def chunks(cursor: Cursor) -> list[Chunk]:
    """The chunks of the platform's hypertables."""
    cursor.execute(
        """
        SELECT hypertable_name::text, range_start::text, range_end::text, is_compressed, chunk_creation_time::text
        FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' ORDER BY 1, 2
        """
    )
    return [Chunk(*row) for row in cursor.fetchall()]


class Dump:
    """A dump in a folder: of the database, of the journals, and what the old code made of both."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.is_older = folder == OLDER
        self.about = json.loads((folder / "about.json").read_text(encoding="utf-8"))

    @property
    def tables(self) -> list[str]:
        """The tables that the old code had made."""
        return sorted(path.stem for path in (self.folder / "rows").glob("*.csv"))

    @property
    def notes_what_is_gone(self) -> bool:
        """Whether the old code noted what retention dropped."""
        return "ticks_platform.feed_gone" in self.tables

    @property
    def chunks(self) -> list[Chunk]:
        """Those that the old database had."""
        return [Chunk(*chunk) for chunk in self.about["chunks"]]

    def rows(self, table: str) -> Rows:
        """What was in a table."""
        return read(self.folder / "rows" / f"{table}.csv")

    def started(self, relation: str) -> Rows:
        """What was in a table, candle or view after the old code's next start."""
        changed = self.folder / "started" / f"{relation}.csv"
        return read(changed) if changed.exists() else self.rows(relation)

    def added(self, table: str) -> Rows:
        """Which rows of a table were new or changed when the old code had loaded what waited in the journals."""
        return read(self.folder / "continued" / f"{table}.csv")

    def load(self, database: Database) -> None:
        """Make an empty database the dumped one."""
        with database.transaction() as cursor:
            cursor.execute((self.folder / "schema.sql").read_text(encoding="utf-8"))
        with database.transaction() as cursor:
            for table in self._in_order(cursor):
                if table != TICKS:
                    # Rows that come with a table are in the dump too.
                    cursor.execute(sql.SQL("DELETE FROM {}").format(_identifier(table)))
                    _copy(cursor, table, self.rows(table))
            _copy(cursor, TICKS, self._ticks(late=False))
            _copy(cursor, TICKS, read(self.folder / "dropped.csv"))
            for table, column, last in self.about["identities"]:
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", (table, column, last))
        with database.autocommit() as cursor:
            self._keep(cursor)
        with database.transaction() as cursor:
            _copy(cursor, TICKS, self._ticks(late=True))
            # A dump of rows loses when chunks were made: made after their ticks were counted, they would be taken for
            # chunks that retention had dropped.
            for chunk in self.chunks:
                cursor.execute(_SET_CREATION_TIME, chunk._asdict())

    def _ticks(self, *, late: bool) -> Rows:
        """The ticks that came before the candles were refreshed, or since."""
        ticks, kept_at = self.rows(TICKS), self.about["kept_at"]
        arrivals = ticks.column("received_at")
        return Rows(
            ticks.columns,
            [row for row, at in zip(ticks.values, arrivals, strict=True) if (at >= kept_at) is late],
        )

    def _in_order(self, cursor: Cursor) -> list[str]:
        """The tables, those first that others refer to."""
        cursor.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint "
            "WHERE contype = 'f' AND connamespace = 'ticks_platform'::regnamespace"
        )
        needed: dict[str, set[str]] = {table: set() for table in self.tables}
        for table, other in cursor.fetchall():
            needed[table].add(other)
        return list(TopologicalSorter(needed).static_order())

    def _keep(self, cursor: Cursor) -> None:
        """What the old jobs had done by then: candles refreshed, old chunks compressed, and the oldest one dropped."""
        for candle in CANDLES:
            _, width, _ = candle.split("_")
            cursor.execute(
                f"CALL refresh_continuous_aggregate('{candle}', NULL, date_trunc('{width}', %s::timestamptz, 'UTC'))",
                (self.about["kept_at"],),
            )
        for chunk in self.chunks:
            if chunk.is_compressed:
                cursor.execute(
                    "SELECT compress_chunk(format('%%I.%%I', chunk_schema, chunk_name)::regclass) "
                    "FROM timescaledb_information.chunks WHERE hypertable_name = %s AND range_start = %s",
                    (chunk.hypertable, chunk.begins_at),
                )
        cursor.execute("SELECT drop_chunks(%s, older_than => %s::timestamptz)", (TICKS, self.about["dropped_before"]))

    def restore_journals(self, folder: Path) -> None:
        """Make the state folder's journals again, and the exported one beside them."""
        for path in sorted((self.folder / "state").rglob("*.sql")):
            target = folder / path.relative_to(self.folder / "state").with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(target)) as journal:
                journal.executescript(path.read_text(encoding="utf-8"))


def journal_text(path: Path) -> str:
    """A journal as SQL. What SQLite keeps in the file's header is in no dump of its own."""
    with contextlib.closing(sqlite3.connect(path)) as journal:
        pragmas = [
            f"PRAGMA {name} = {journal.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version", "journal_mode")
        ]
        return "\n".join([*pragmas, *journal.iterdump()]) + "\n"


def _copy(cursor: Cursor, table: str, rows: Rows) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(rows.values)
    text.seek(0)
    names = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    cursor.copy_expert(sql.SQL("COPY {} ({}) FROM STDIN ({})").format(_identifier(table), names, sql.SQL(_CSV)), text)


def difference(after: Rows, before: Rows) -> Rows:
    """The rows that are only in the first one."""
    known = set(before.of(after.columns))
    return Rows(after.columns, [row for row in after.values if row not in known])


def identities(cursor: Cursor, tables: Iterable[str]) -> list[tuple[str, str, int]]:
    """Table, column and last number of what counts by itself."""
    cursor.execute(
        """
        SELECT attrelid::regclass::text, attname::text,
            pg_sequence_last_value(pg_get_serial_sequence(attrelid::regclass::text, attname)::regclass)
        FROM pg_attribute
        WHERE attrelid = ANY (%s::regclass[]) AND attidentity <> ''
        ORDER BY 1
        """,
        (list(tables),),
    )
    return [(table, column, last) for table, column, last in cursor.fetchall() if last is not None]
