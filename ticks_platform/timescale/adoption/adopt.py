"""Adopts tables of others, in one transaction: interrupted at any moment, the database is as it was before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.adoption import plan as planning
from ticks_platform.timescale.adoption import relations
from ticks_platform.timescale.adoption.plan import CandlePlan, Plan, TicksPlan
from ticks_platform.timescale.adoption.relations import COMPANY
from ticks_platform.timescale.candles import definitions
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.requirements import require_timescaledb

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.database import Database

LOCK_SECONDS = 10
"""Most seconds that each lock is waited for: others may be reading or writing."""

_REFUSALS = (psycopg2.ProgrammingError, psycopg2.IntegrityError, psycopg2.DataError, psycopg2.NotSupportedError)
"""What the database raises when it does not allow something, in distinction from being away."""

_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
"""The largest values of whole numbers, where they are smaller than those of bigint."""


class AdoptionRefusedError(ActionRequiredError):
    """The tables cannot be adopted; the message says why, and what to do. Nothing was changed."""


class _View(NamedTuple):
    """A view that is dropped and made again, since it reads a column whose type changes."""

    name: str
    definition: str
    options: str | None
    grants: Sequence[str]
    comments: Sequence[str]


def adopt(
    database: Database, *, keep_candles: bool, symbols: Collection[str] | None, say: Callable[[str], None]
) -> Plan:
    """Adopt all that can be adopted, or nothing; returns what was done.

    Readers and writers of the tables wait meanwhile. Raises AdoptionRefusedError, DatabaseUnavailableError and
    psycopg2.OperationalError; in each case nothing was changed.
    """
    try:
        with database.transaction() as cursor:
            require_timescaledb(cursor)
            return _adopt(cursor, keep_candles, symbols, say)
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
        raise AdoptionRefusedError(
            f"others use the tables, and are waited for no longer than {LOCK_SECONDS} s: stop what writes ticks, and "
            f"try again ({str(error).strip()}). Nothing was changed"
        ) from error
    except psycopg2.errors.OutOfMemory as error:
        raise AdoptionRefusedError(
            "the server has no room for so many locks: raise max_locks_per_transaction in postgresql.conf, restart it, "
            f"and try again ({str(error).strip()}). Nothing was changed"
        ) from error
    except _REFUSALS as error:
        raise AdoptionRefusedError(f"the database refuses it: {str(error).strip()}. Nothing was changed") from error


def _adopt(cursor: Cursor, keep_candles: bool, symbols: Collection[str] | None, say: Callable[[str], None]) -> Plan:
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    cursor.execute("SET LOCAL statement_timeout = 0")
    _lock(cursor)
    plan = planning.plan(cursor, keep_candles=keep_candles, symbols=symbols)
    if plan.obstacles:
        raise AdoptionRefusedError(f"{'; '.join(plan.obstacles)}. Nothing was changed")
    if plan.is_empty:
        return plan
    # The coarsest first: one of them may be made from another.
    grants = [statement for candle in reversed(plan.candles) for statement in _replace_candle(cursor, candle, say)]
    if plan.ticks is not None:
        _adopt_ticks(cursor, plan.ticks, say)
    if plan.company:
        _adopt_company(cursor, say)
    sql_files.apply(cursor, *sql_files.HYPERTABLE)
    sql_files.apply(cursor, *sql_files.MACHINERY, "schema/company.sql")
    for candle in CANDLES:
        # One of an older release is left to the job rebuild_candle.
        if definitions.drift(cursor, candle) is None:
            sql_files.apply(cursor, *candle.files)
    for statement in grants:
        cursor.execute(statement)
    _record(cursor, plan)
    left = relations.find(cursor)
    if left:
        raise AdoptionRefusedError(f"still not the platform's: {relations.message(left)}")
    return plan


def _lock(cursor: Cursor) -> None:
    """Lock what is adopted, so that what the plan finds stays as it is."""
    for each in relations.find(cursor):
        if each.obstacle is None and each.relation.kind == relations.TABLE:
            _run(cursor, "queries/adoption/lock.sql", table=sql.Identifier(each.relation.name))


def _run(cursor: Cursor, file: str, **parts: sql.Composable) -> None:
    cursor.execute(sql_files.compose(file, **parts) if parts else sql_files.read(file))


def _replace_candle(cursor: Cursor, planned: CandlePlan, say: Callable[[str], None]) -> list[str]:
    """Rename or drop a candle; returns the statements that grant its privileges on ours."""
    name = planned.candle.name
    parts = {"candle": sql.Identifier(name)}
    cursor.execute(sql_files.read("queries/adoption/grants.sql"), {"relation": name})
    grants = [statement for (statement,) in cursor.fetchall()]
    if planned.kept_as is not None:
        _run(cursor, "queries/adoption/rename_candle.sql", **parts, kept=sql.Identifier(planned.kept_as))
        say(f"{name} is {planned.kept_as} now")
        return grants
    if planned.without_ticks:
        kept = {**parts, "kept": sql.Identifier(planned.table)}
        if planned.known_columns:
            query = sql_files.compose("queries/adoption/keep_candles_without_ticks.sql", **kept)
            cursor.execute(query, {"width": planned.candle.bucket})
        else:
            _run(cursor, "queries/adoption/keep_all_candles.sql", **kept)
        say(f"{planned.without_ticks} candles of {name} are in {planned.table}")
    _run(cursor, "queries/adoption/drop_candle.sql", **parts)
    return grants


def _adopt_ticks(cursor: Cursor, planned: TicksPlan, say: Callable[[str], None]) -> None:
    before = _count(cursor) if planned.volume_type else None
    compressed = _decompress(cursor, say) if planned.is_hypertable else []
    # The trigger that keeps a whole number calls a function of the machinery.
    sql_files.apply(cursor, "schema/ticks_platform.sql", "schema/keep_day_volume_whole.sql")
    both = planned.volume_type not in (None, "double precision") and _must_keep_whole(cursor)
    columnstore = _disable_columnstore(cursor) if planned.has_columnstore else None
    if not planned.is_hypertable:
        _run(cursor, "queries/adoption/make_hypertable.sql")
    if both:
        largest = sql.Literal(str(_LARGEST.get(planned.volume_type or "", 2**63 - 1)))
        _run(cursor, "queries/adoption/keep_whole_day_volume.sql", largest=largest)
        say("what reads day_volume as a whole number reads day_volume_whole from now on")
    elif planned.volume_type not in (None, "double precision"):
        _widen_day_volume(cursor)
    _run(cursor, "queries/adoption/add_columns.sql")
    cursor.execute(sql_files.read("queries/adoption/chunks.sql"))
    chunks = [name for name, _ in cursor.fetchall()]
    day_volume = sql.SQL(", day_volume = day_volume_whole" if both else "")
    for number, chunk in enumerate(chunks, start=1):
        _run(cursor, "queries/adoption/fill_chunk.sql", chunk=sql.SQL(chunk), day_volume=day_volume)
        say(f"{cursor.rowcount} ticks of chunk {number} of {len(chunks)}")
    _run(cursor, "queries/adoption/constrain.sql")
    _run(cursor, "queries/adoption/set_chunk_interval.sql")
    after = _count(cursor)
    if before is not None and after != before:
        raise AdoptionRefusedError(
            f"the rows would not be the same as before ({before} and {after}). Nothing was changed"
        )
    if columnstore is not None:
        _run(cursor, "queries/adoption/enable_columnstore.sql", options=columnstore)
    for chunk in compressed:
        cursor.execute("SELECT compress_chunk(%s::regclass)", (chunk,))


def _count(cursor: Cursor) -> tuple[object, ...] | None:
    cursor.execute(sql_files.read("queries/adoption/count.sql"))
    return cursor.fetchone()


def _decompress(cursor: Cursor, say: Callable[[str], None]) -> list[str]:
    cursor.execute(sql_files.read("queries/adoption/chunks.sql"))
    compressed = [name for name, is_compressed in cursor.fetchall() if is_compressed]
    for number, chunk in enumerate(compressed, start=1):
        cursor.execute("SELECT decompress_chunk(%s::regclass)", (chunk,))
        say(f"compressed chunk {number} of {len(compressed)} is rows for now")
    return compressed


def _disable_columnstore(cursor: Cursor) -> sql.Composable:
    """Disable it, and return the options with which it is enabled again; what was not set is left to the database."""
    cursor.execute(sql_files.read("queries/adoption/columnstore.sql"))
    found = zip(("segmentby", "orderby"), cursor.fetchone() or ("", ""), strict=True)
    options = [
        sql.SQL(", timescaledb.compress_{} = {}").format(sql.SQL(name), sql.Literal(columns))
        for name, columns in found
        if columns
    ]
    _run(cursor, "queries/adoption/disable_columnstore.sql")
    return sql.Composed(options)


def _readers(cursor: Cursor) -> list[tuple[str, str, str, str | None]]:
    cursor.execute(sql_files.read("queries/adoption/readers.sql"))
    return cursor.fetchall()


def _must_keep_whole(cursor: Cursor) -> bool:
    """Whether something needs day_volume as it is, and cannot be made again: a continuous aggregate has a past."""
    cursor.execute(sql_files.read("queries/adoption/column_users.sql"))
    return bool(cursor.fetchall()) or any(kind != relations.VIEW for _, kind, *_ in _readers(cursor))


def _widen_day_volume(cursor: Cursor) -> None:
    """Make it double precision; views that read it are made again."""
    views = [_view(cursor, name, definition, options) for name, _, definition, options in _readers(cursor)]
    for view in reversed(views):
        _run(cursor, "queries/adoption/drop_view.sql", view=sql.SQL(view.name))
    _run(cursor, "queries/adoption/widen_day_volume.sql")
    for view in views:
        _run(
            cursor,
            "queries/adoption/create_view.sql",
            view=sql.SQL(view.name),
            options=sql.SQL(f"WITH ({view.options})" if view.options else ""),
            definition=sql.SQL(view.definition),
        )
        for statement in (*view.grants, *view.comments):
            cursor.execute(statement)


def _view(cursor: Cursor, name: str, definition: str, options: str | None) -> _View:
    cursor.execute(sql_files.read("queries/adoption/grants.sql"), {"relation": name})
    grants = [statement for (statement,) in cursor.fetchall()]
    cursor.execute(sql_files.read("queries/rebuild/view_comments.sql"), {"view": name})
    comments = [statement for (statement,) in cursor.fetchall()]
    return _View(name, definition.rstrip().rstrip(";"), options, grants, comments)


def _adopt_company(cursor: Cursor, say: Callable[[str], None]) -> None:
    _run(cursor, "queries/adoption/deduplicate_company.sql")
    say(f"{cursor.rowcount} rows of {COMPANY} whose symbol comes again are removed")
    cursor.execute(sql_files.read("queries/adoption/has_primary_key.sql"), {"table": COMPANY})
    has_key = cursor.fetchone() == (True,)
    _run(cursor, "queries/adoption/company_unique.sql" if has_key else "queries/adoption/company_key.sql")


def _record(cursor: Cursor, plan: Plan) -> None:
    ticks = plan.ticks
    cursor.execute(
        sql_files.read("queries/adoption/record.sql"),
        {
            "rows": ticks.rows if ticks else None,
            "first_time": ticks.first if ticks else None,
            "last_time": ticks.last if ticks else None,
            "steps": list(plan.steps),
        },
    )
