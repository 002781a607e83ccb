"""Renames the stored history of symbols: in each table that names them, and in the candles.

Each step is a transaction of its own, so that a rename can be interrupted and continued. Ticks are renamed by UTC day,
and the day's candles are made right afterwards; candles whose ticks retention has dropped are renamed as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.paths import shipped
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candles, definitions, late_ticks
from ticks_platform.timescale.candles.candles import CANDLES, TICKS, Candle, Span
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TOLD_AGAIN = frozenset(
    {
        *("company", "instrument", "round_lot", "instrument_reference", "symbol_calendar", "feed_symbol"),
        "wildcard_symbol",
        *("feed_true_up", "feed_coverage", "feed_gap", "stock_aggregates", "corporate_action"),
    }
)
"""Tables of what settings, providers or the machinery tell again: where both names have a row, the new name's stays."""

_MERGES = {
    "feed_gap": "queries/renames/merge_feed_gap.sql",
    "feed_true_up": "queries/renames/merge_feed_true_up.sql",
}
"""Those of which the new name's row takes what is worse of both: else candles would be proven that are not."""

_DAY = timedelta(days=1)


class RenameRefusedError(ActionRequiredError):
    """A rename would mix two instruments, or lose something; the message says what can be done."""


class Table(NamedTuple):
    """A table that names symbols."""

    sql: str
    """Its name, quoted."""
    name: str
    has_feed: bool
    time: str | None
    """The column by which it is partitioned, if it is a hypertable."""
    keys: tuple[tuple[str, ...], ...]
    """The columns beside the symbol of each unique key."""


class Rename(NamedTuple):
    """A name that becomes another one."""

    old: str
    new: str
    feeds: tuple[str, ...]
    """The feeds whose rows are renamed."""
    is_whole: bool
    """Whether no other feed has the old name: then rows without a feed are renamed too, and candles without ticks."""


class Part(NamedTuple):
    """What a rename changes in one table or candle."""

    rename: Rename
    table: str
    rows: int


class Plan(NamedTuple):
    """What would be done, and what is refused."""

    renames: tuple[Rename, ...]
    parts: tuple[Part, ...]
    refused: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows would change."""
        return sum(part.rows for part in self.parts)


def tables(cursor: Cursor) -> list[Table]:
    """The platform's tables that name symbols."""
    made = [path.stem for path in shipped("sql/schema").glob("*.sql")]
    cursor.execute(sql_files.read("queries/renames/tables.sql"), {"tables": made})
    return [
        Table(quoted, name, has_feed, time, tuple(map(tuple, keys)))
        for quoted, name, has_feed, time, keys in cursor.fetchall()
    ]


def plan(cursor: Cursor, wanted: Mapping[tuple[str | None, str], str], asked: Collection[tuple[str, str]]) -> Plan:
    """What the renames change. Reads the parts of the tables that have the old names.

    `wanted` has new names by feed and old name; a feed of None stands for all that have it. `asked` are the feeds and
    names of feeds.yaml, which are never renamed.
    """
    renames, refused = _resolve(cursor, wanted, asked)
    kept = candles.kept_ranges(cursor)
    parts: list[Part] = []
    for rename in renames:
        of_rename = [
            Part(rename, table.name, rows)
            for table in tables(cursor)
            if (rows := _number(cursor, "queries/renames/count.sql", table, rename))
        ]
        if rename.is_whole:
            of_rename += [
                Part(rename, level.name, number)
                for level in CANDLES
                if (number := _candles_without_ticks(cursor, level, rename, kept)[0])
            ]
        if of_rename:
            refused += _obstacles(cursor, rename, kept)
        parts += of_rename
    refused += _between(cursor, renames, kept)
    return Plan(tuple(dict.fromkeys(part.rename for part in parts)), tuple(parts), tuple(refused))


def has_rows(cursor: Cursor, feed: str, old: str) -> bool:
    """Whether a feed has anything under a name."""
    cursor.execute(sql_files.read("queries/renames/feeds.sql"), {"old": old})
    return (feed,) in cursor.fetchall()


def apply(database: Database, planned: Plan, say: Callable[[str], None]) -> None:
    """Do what is planned. Raises RenameRefusedError before anything is changed."""
    if planned.refused:
        raise RenameRefusedError("; ".join(planned.refused))
    for rename in planned.renames:
        with database.transaction() as cursor:
            found = tables(cursor)
            kept = candles.kept_ranges(cursor)
            if rename.is_whole:
                for level in CANDLES:
                    _rename_candles(cursor, level, rename, kept)
        for table in (table for table in found if table.time is not None):
            _rename_by_day(database, table, rename, say)
        with database.transaction() as cursor:
            for table in found:
                if table.time is None and (table.has_feed or rename.is_whole):
                    _rename_rows(cursor, table, rename)
        say(f"{rename.old} is {rename.new} now, of {', '.join(rename.feeds) or 'no feed'}")


def _resolve(
    cursor: Cursor, wanted: Mapping[tuple[str | None, str], str], asked: Collection[tuple[str, str]]
) -> tuple[list[Rename], list[str]]:
    """The renames by old and new name, and what is refused before anything is counted."""
    feeds_of: dict[tuple[str, str], dict[str, None]] = {}
    having: dict[str, list[str]] = {}
    refused = []
    for (feed, old), new in wanted.items():
        if old not in having:
            cursor.execute(sql_files.read("queries/renames/feeds.sql"), {"old": old})
            having[old] = [row[0] for row in cursor.fetchall()]
        renamed = [name for name in having[old] if feed in (None, name)]
        still = [name for name in renamed if (name, old) in asked]
        if still:
            refused.append(f"feeds.yaml asks for {old} in feed {', '.join(still)}: remove it there first")
        feeds_of.setdefault((old, new), {}).update(dict.fromkeys(renamed))
    named = {name for _, name in asked}
    return [
        Rename(old, new, tuple(feeds), is_whole=set(having[old]) <= set(feeds) and old not in named)
        for (old, new), feeds in feeds_of.items()
    ], refused


def _between(cursor: Cursor, renames: Sequence[Rename], kept: Sequence[Span]) -> list[str]:
    """Why renames are refused that would each be right alone: what is stored under a name must not be renamed twice."""
    found = []
    for one, other in itertools.permutations(renames, 2):
        if not (set(one.feeds) & set(other.feeds) or (one.is_whole and other.is_whole)):
            continue
        if one.new == other.old:
            found.append(
                f"{one.new} is the new name of {one.old} and the old name of {other.new}: rename {other.old} to "
                f"{other.new} in a run of its own, and {one.old} afterwards"
            )
        elif one.new == other.new and one.old < other.old:
            found += _obstacles(cursor, one._replace(new=other.old), kept)
    return found


def _obstacles(cursor: Cursor, rename: Rename, kept: Sequence[Span]) -> list[str]:
    """Why a rename is refused."""
    old, new = rename.old, rename.new
    found = []
    for table in tables(cursor):
        for key in table.keys if table.name not in TOLD_AGAIN else ():
            if number := _number(cursor, "queries/renames/collisions.sql", table, rename, same=_same(key)):
                found.append(
                    f"{table.name} has {number} rows of {old} whose key {new} has too: two instruments, or a rename "
                    "that was made by hand. Delete those of one name, and run the job again"
                )
    cursor.execute(sql_files.read("queries/renames/interleaved.sql"), {"old": old, "new": new})
    row = cursor.fetchone()
    if row is not None:
        found.append(
            f"{old} and {new} both have ticks at the same times, first on {row[0]:%Y-%m-%d}: they are two instruments, "
            "and would become one. Rename to a name that has no ticks then, or delete those that are not wanted"
        )
    for level in CANDLES if rename.is_whole else ():
        number, both = _candles_without_ticks(cursor, level, rename, kept)
        if both:
            found.append(
                f"{both} of {number} rows of {level.name} whose ticks are dropped are there for {new} too: two "
                "instruments. Rename to a name that has no candles then"
            )
    cursor.execute(sql_files.read("queries/renames/fetched_ranges.sql"), {"old": old, "feeds": list(rename.feeds)})
    (waiting,) = cursor.fetchone() or (0,)
    if waiting:
        found.append(
            f"{waiting} repairs of {old} are fetched and not loaded: let the job repair_gaps end first, or set them to "
            "failed in ticks_platform.feed_repair"
        )
    return found


def _number(cursor: Cursor, query: str, table: Table, rename: Rename, **parts: sql.Composable) -> int:
    """The number that a query about a table returns; 0 if the rename does not concern it."""
    if not (table.has_feed or rename.is_whole):
        return 0
    cursor.execute(_compose(query, table, **parts), _parameters(rename))
    (number,) = cursor.fetchone() or (0,)
    return int(number)


def _rename_by_day(database: Database, table: Table, rename: Rename, say: Callable[[str], None]) -> None:
    """Rename the rows of a hypertable, and refresh the candles if these are ticks.

    If the refresh fails, the job catch_up does it.
    """
    assert table.time is not None
    if not (table.has_feed or rename.is_whole):
        return
    time = sql.Identifier(table.time)
    with database.transaction() as cursor:
        cursor.execute(_compose("queries/renames/days.sql", table, time=time), _parameters(rename))
        days: list[datetime] = [row[0] for row in cursor.fetchall()]
    for day in days:
        span = {"begin": day, "end": day + _DAY}
        within = sql.SQL("{time} >= %(begin)s AND {time} < %(end)s").format(time=time)
        with database.transaction() as cursor:
            renamed = _rename_rows(cursor, table, rename, within=within, **span)
            if table.name == TICKS:
                cursor.execute(sql_files.read("queries/candles/forget_refreshes.sql"), span)
        if table.name == TICKS:
            with database.autocommit() as cursor:
                late_ticks.refresh_days(cursor, day, day + _DAY)
            say(f"{day:%Y-%m-%d}: {renamed} ticks of {rename.old} are {rename.new}, candles refreshed")


def _rename_rows(
    cursor: Cursor, table: Table, rename: Rename, within: sql.Composable | None = None, **span: datetime
) -> int:
    """Rename rows of a table, and return how many."""
    # The limit guards against statements that unpack more than was meant; this one is about whole symbols.
    cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    parameters = {**_parameters(rename), **span}
    if table.name in _MERGES:
        cursor.execute(sql_files.read(_MERGES[table.name]), parameters)
    for key in table.keys if table.name in TOLD_AGAIN else ():
        cursor.execute(_compose("queries/renames/forget.sql", table, same=_same(key)), parameters)
    cursor.execute(_compose("queries/renames/rename.sql", table, within=within or sql.SQL("true")), parameters)
    return cursor.rowcount


def _candles_without_ticks(cursor: Cursor, level: Candle, rename: Rename, kept: Sequence[Span]) -> tuple[int, int]:
    """How many candles cannot be made of ticks, and how many of those the new name has too."""
    found = definitions.find(cursor, level.name)
    if found is None:
        return 0, 0
    query = sql_files.compose("queries/renames/candles_without_ticks.sql", table=sql.SQL(found.materialization))
    cursor.execute(query, _candle_parameters(level, rename, kept))
    number, both = cursor.fetchone() or (0, 0)
    return int(number), int(both)


def _rename_candles(cursor: Cursor, level: Candle, rename: Rename, kept: Sequence[Span]) -> None:
    found = definitions.find(cursor, level.name)
    if found is None:
        return
    cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    query = sql_files.compose("queries/renames/rename_candles.sql", table=sql.SQL(found.materialization))
    cursor.execute(query, _candle_parameters(level, rename, kept))


def _candle_parameters(level: Candle, rename: Rename, kept: Sequence[Span]) -> dict[str, object]:
    return {
        **_parameters(rename),
        "begins": [span.begin for span in kept],
        "ends": [span.end for span in kept],
        "width": level.bucket,
    }


def _compose(query: str, table: Table, **parts: sql.Composable) -> sql.Composable:
    feeds = sql.SQL("{feed} = ANY (%(feeds)s)").format(
        feed=sql.Identifier("old", "feed") if "same" in parts else sql.Identifier("feed")
    )
    return sql_files.compose(
        query,
        table=sql.SQL(table.sql),
        feeds=feeds if table.has_feed else sql.SQL("true"),
        **parts,
    )


def _same(key: Iterable[str]) -> sql.Composable:
    columns = [sql.SQL("old.{column} = new.{column}").format(column=sql.Identifier(column)) for column in key]
    return sql.SQL(" AND ").join(columns) if columns else sql.SQL("true")


def _parameters(rename: Rename) -> dict[str, object]:
    return {"old": rename.old, "new": rename.new, "feeds": list(rename.feeds)}
