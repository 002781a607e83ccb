"""Rebuild of a candle whose definition has changed: beside the old one, which it replaces when it is complete.

One module because a rebuild is one procedure, whose steps undo each other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import day_volume, sql_files
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles import definitions as candle_definitions
from ticks_platform.timescale.candles.candles import CANDLES, Candle, Span
from ticks_platform.timescale.candles.definitions import Drift, Found
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import Kind, Policy, PolicySettings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.database import Database

NEW, OLD = "ticks_platform_new", "ticks_platform_old"
"""Schemas: in NEW a candle is rebuilt under its own name, in OLD the replaced one waits to be dropped."""
LOCK_SECONDS = 10
"""Most seconds that a swap waits for readers and writers, which wait for it meanwhile."""
DRAIN_SECONDS = 120
"""Most seconds that a running policy may take to end."""
_STEP = timedelta(days=1)


class RebuildRefusedError(ActionRequiredError):
    """The rebuild would lose candles, or cannot be done; the message says why, and what to do."""


class View(NamedTuple):
    """A view that reads a candle, and has to read the new one afterwards."""

    name: str
    file: str | None
    """Of a view of the platform: its file under sql/, which may have changed with the candle."""
    definition: str
    """As the database has it."""

    def make(self, cursor: Cursor) -> None:
        """Make it, or replace it."""
        if self.file is not None:
            cursor.execute(sql_files.read(self.file))
        else:
            parts = {"view": sql.SQL(self.name), "definition": sql.SQL(self.definition)}
            cursor.execute(sql_files.compose("queries/rebuild/replace_view.sql", **parts))


class Plan(NamedTuple):
    """What a rebuild does."""

    drift: Drift | None
    rebuilt: tuple[Candle, ...]
    """The finest first."""
    views: tuple[View, ...]
    grants: tuple[tuple[str, str, str, bool], ...]
    """Candle, role, privilege, and whether the role may pass it on."""
    kept: tuple[Span, ...]
    """The ranges with ticks, from which minutes are computed again."""
    carried: dict[str, int]
    """How many rows of each candle are carried over, since what they were made from is gone."""
    unconverted: int
    """How many chunks of the ticks have a day_volume of an older release, which is converted first."""
    obstacles: tuple[str, ...]


class Rebuilt(NamedTuple):
    """What a rebuild did."""

    carried: dict[str, int]
    gone: dict[str, int]
    """How many rows of each candle are no longer produced by the ticks."""


def plan(cursor: Cursor, candle: Candle) -> Plan:
    """What a rebuild of this candle would do, in a transaction that the caller may commit. Raises DefinitionError."""
    present = {level: found for level in CANDLES if (found := candle_definitions.find(cursor, level.name)) is not None}
    if candle not in present:
        raise RebuildRefusedError(f"{candle.name} is not created yet: materialize it, which creates it from its file")
    rebuilt = tuple(level for level in CANDLES[CANDLES.index(candle) :] if level in present)
    names = [level.name for level in rebuilt]
    obstacles, grants = [], []
    for name in names:
        cursor.execute(sql_files.read("queries/rebuild/obstacles.sql"), {"candle": name, "rebuilt": names})
        obstacles += [f"{name}: {obstacle}" for (obstacle,) in cursor.fetchall()]
        cursor.execute(sql_files.read("queries/rebuild/privileges.sql"), {"candle": name})
        grants += [(name, *row) for row in cursor.fetchall()]
    views = []
    cursor.execute(sql_files.read("queries/rebuild/dependents.sql"), {"candles": names})
    for name, kind, has_options, reads_candle, definition in cursor.fetchall():
        if kind == "v" and not has_options:
            views.append(View(name, _view_file(name), definition.rstrip().rstrip(";")))
        elif reads_candle:
            obstacles.append(f"{name} reads it and cannot be altered: drop it, and make it again afterwards")
    kept = _up_to_now(cursor, candles.kept_ranges(cursor))
    carried = {}
    for level in rebuilt:
        old = sql.SQL(present[level].materialization)
        query = sql_files.compose("queries/rebuild/candles_to_carry_over.sql", old=old)
        cursor.execute(query, _parameters(_spans(cursor, level, kept), _until(cursor, level)))
        (carried[level.name], _first, _last) = cursor.fetchone() or (0, None, None)
    drift = candle_definitions.drift(cursor, candle)
    unconverted = len(day_volume.unconverted(cursor)) if candle.finer is None else 0
    return Plan(drift, rebuilt, tuple(views), tuple(grants), kept, carried, unconverted, tuple(obstacles))


def try_out(database: Database, planned: Plan) -> None:
    """Create the new candles and swap them in, empty, and roll back: whether the database allows it.

    Raises RebuildRefusedError with the database's message when it does not.
    """
    with database.transaction() as cursor:
        try:
            _make(cursor, planned)
            _swap(cursor, planned)
        except psycopg2.Error as error:
            raise RebuildRefusedError(f"the database refuses it: {str(error).strip()}") from error
        finally:
            cursor.connection.rollback()


def rebuild(database: Database, planned: Plan, settings: PolicySettings, say: Callable[[str], None]) -> Rebuilt:
    """Do what is planned. A failure before the swap leaves the old candles and their policies as they were.

    Readers see the old candles until the new ones are complete. Raises RebuildRefusedError, psycopg2.Error.
    """
    if planned.obstacles:
        raise RebuildRefusedError("; ".join(planned.obstacles))
    if planned.drift is not None and not planned.drift.select:
        _set_materialized_only(database, planned)
        return Rebuilt({}, {})
    names = [level.name for level in planned.rebuilt]
    policies = [Policy(Kind.REFRESH, name) for name in names]
    paused: list[int] = []
    _discard(database)
    try:
        if planned.unconverted:
            day_volume.convert(database, say)
        with database.transaction() as cursor:
            _make(cursor, planned)
        for level in planned.rebuilt:
            _fill(database, level, planned.kept, say)
        say(f"the refresh policies of {', '.join(names)} are paused")
        _pause(database, policies, paused)
        # The ticks that arrived meanwhile.
        for level in planned.rebuilt:
            _refresh(database, level, planned.kept)
        done = _verify(database, planned)
        with database.transaction() as cursor:
            _swap(cursor, planned)
            for policy in policies:
                policy_jobs.apply(cursor, policy, settings.terms(policy))
        say("the new candles have replaced the old ones")
    except BaseException:
        with database.transaction() as cursor:
            for job_id in paused:
                _schedule(cursor, job_id, scheduled=True)
        _discard(database)
        raise
    finish(database, say)
    return done


def finish(database: Database, say: Callable[[str], None]) -> None:
    """Drop the old candles, and the column of an older release that they read. No effect if both are gone."""
    _discard(database)
    day_volume.convert(database, say)
    stays = day_volume.drop_whole_column(database)
    if stays is not None:
        say(stays)


def _set_materialized_only(database: Database, planned: Plan) -> None:
    """The only change that can be made in place."""
    assert planned.drift is not None
    query = sql_files.compose(
        "queries/rebuild/set_materialized_only.sql",
        candle=sql.Identifier(planned.rebuilt[0].name),
        value=sql.SQL(str(not planned.drift.materialized_only).lower()),
    )
    with database.transaction() as cursor:
        cursor.execute(query)


def _view_file(view: str) -> str | None:
    """The file of a view of the platform; None for one whose definition is not found in it."""
    files = {each.name: each.file for candle in CANDLES for each in candle.views}
    file = files.get(view)
    made = rf"\bCREATE OR REPLACE VIEW {re.escape(view)} AS\n"
    return file if file is not None and re.search(made, sql_files.read(file)) else None


def _make(cursor: Cursor, planned: Plan) -> None:
    """Create the new candles, empty, from their files, in a schema that is searched first for what they name."""
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    cursor.execute(sql_files.read("queries/rebuild/create_schemas.sql"))
    cursor.execute("SELECT current_setting('search_path')")
    (path,) = cursor.fetchone() or ("public",)
    cursor.execute("SELECT set_config('search_path', %s, true)", (f"{NEW}, {path}",))
    for level in planned.rebuilt:
        cursor.execute(sql_files.read(level.file))
    cursor.execute("SELECT set_config('search_path', %s, true)", (path,))


def _swap(cursor: Cursor, planned: Plan) -> None:
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    cursor.execute("SELECT current_schema()")
    (schema,) = cursor.fetchone() or ("public",)
    for level in planned.rebuilt:
        names = {"schema": sql.Identifier(schema), "candle": sql.Identifier(level.name)}
        cursor.execute(sql_files.compose("queries/rebuild/swap_candle.sql", **names))
    for position, view in enumerate(planned.views):
        if not _replace_view(cursor, view):
            _make_again(cursor, planned.views[position:])
            break
    known = {view.name for view in planned.views}
    added = [view.file for level in planned.rebuilt for view in level.views if view.name not in known]
    sql_files.apply(cursor, *added)
    for candle, role, privilege, grantable in planned.grants:
        _grant(cursor, sql.Identifier(candle), role, privilege, grantable)


def _replace_view(cursor: Cursor, view: View) -> bool:
    """Make a view read the new candles. False if a column has another type or place, which only a new view can have."""
    cursor.execute("SAVEPOINT view")
    try:
        view.make(cursor)
    except psycopg2.errors.InvalidTableDefinition:
        cursor.execute("ROLLBACK TO SAVEPOINT view")
        return False
    return True


def _make_again(cursor: Cursor, views: Sequence[View]) -> None:
    """Drop these views, each of which may read those before it, and make them again."""
    grants, comments = {}, {}
    for view in views:
        cursor.execute(sql_files.read("queries/rebuild/privileges.sql"), {"candle": view.name})
        grants[view] = cursor.fetchall()
        cursor.execute(sql_files.read("queries/rebuild/view_comments.sql"), {"view": view.name})
        comments[view] = cursor.fetchall() if view.file is None else []
    for view in reversed(views):
        cursor.execute(sql_files.compose("queries/rebuild/drop_view.sql", view=sql.SQL(view.name)))
    for view in views:
        view.make(cursor)
        for role, privilege, grantable in grants[view]:
            _grant(cursor, sql.SQL(view.name), role, privilege, grantable)
        for (comment,) in comments[view]:
            cursor.execute(comment)


def _grant(cursor: Cursor, relation: sql.Composable, role: str, privilege: str, grantable: bool) -> None:
    query = sql_files.compose(
        "queries/rebuild/grant_privilege.sql",
        privilege=sql.SQL(privilege),
        relation=relation,
        grantee=sql.SQL(role + (" WITH GRANT OPTION" if grantable else "")),
    )
    cursor.execute(query)


def _fill(database: Database, level: Candle, kept: Sequence[Span], say: Callable[[str], None]) -> None:
    """Refresh what the sources still cover, then carry the rest over."""
    _refresh(database, level, kept, say)
    with database.transaction() as cursor:
        old, new = _tables(cursor, level)
        tables = {"old": old.materialization, "new": new.materialization}
        cursor.execute(sql_files.read("queries/rebuild/common_columns.sql"), tables)
        columns, sources = zip(*cursor.fetchall(), strict=True)
        query = sql_files.compose(
            "queries/rebuild/carry_over_candles.sql",
            new=sql.SQL(new.materialization),
            old=sql.SQL(old.materialization),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            sources=sql.SQL(", ").join(map(sql.Identifier, sources)),
        )
        cursor.execute(query, _parameters(_spans(cursor, level, kept), _until(cursor, level)))
        say(f"{level.name}: {cursor.rowcount} candles carried over")


def _refresh(database: Database, level: Candle, kept: Sequence[Span], say: Callable[[str], None] | None = None) -> None:
    """Refresh day by day: a transaction over the whole history would be long."""
    with database.autocommit() as cursor:
        for span in _spans(cursor, level, kept):
            begin = span.begin
            while begin < span.end:
                end = min(max(begin + _STEP, begin + 2 * level.bucket), span.end)
                candles.refresh(cursor, level._replace(name=f"{NEW}.{level.name}"), begin, end)
                begin = end
            if say is not None:
                say(f"{level.name}: refreshed from {span.begin} to {span.end}")


def _spans(cursor: Cursor, level: Candle, kept: Sequence[Span]) -> list[Span]:
    """The ranges in which a candle can be computed again: those of its ticks, or of the finer candles."""
    until = _until(cursor, level)
    if level.finer is None:
        return [Span(span.begin, min(span.end, until)) for span in kept if span.begin < until]
    # Of the old table: the new one will have all of its rows.
    cursor.execute(sql.SQL("SELECT min(bucket) FROM {}").format(sql.Identifier(level.finer.name)))
    (first,) = cursor.fetchone() or (None,)
    # The first bucket may have been made from more than there is now, unless there are ticks since its begin.
    begin = None if first is None else candles.floor(first + level.bucket - timedelta(microseconds=1), level)
    if begin is not None and kept and begin > kept[0].begin:
        begin = candles.floor(kept[0].begin, level)
    return [Span(begin, until)] if begin is not None and begin < until else []


def _up_to_now(cursor: Cursor, kept: Sequence[Span]) -> tuple[Span, ...]:
    """The same ranges, the newest open-ended when it includes now: a rebuild may outlast its end."""
    cursor.execute("SELECT now()")
    (now,) = cursor.fetchone() or (None,)
    if not kept or now is None or kept[-1].end <= now:
        return tuple(kept)
    return (*kept[:-1], kept[-1]._replace(end=datetime.max.replace(tzinfo=timezone.utc)))


def _until(cursor: Cursor, level: Candle) -> datetime:
    cursor.execute("SELECT now()")
    (now,) = cursor.fetchone() or (None,)
    assert now is not None
    return candles.floor(now, level)


def _tables(cursor: Cursor, level: Candle) -> tuple[Found, Found]:
    """The old candle and the new one."""
    old = candle_definitions.find(cursor, level.name)
    new = candle_definitions.find(cursor, level.name, schema=NEW)
    assert old is not None
    assert new is not None
    return old, new


def _verify(database: Database, planned: Plan) -> Rebuilt:
    """Which old candles are missing in the new ones. Raises RebuildRefusedError when history would be lost."""
    gone = {}
    with database.transaction() as cursor:
        for level in planned.rebuilt:
            old, _new = _tables(cursor, level)
            query = sql_files.compose(
                "queries/rebuild/lost_candles.sql",
                old=sql.SQL(old.materialization),
                new=sql.Identifier(NEW, level.name),
            )
            cursor.execute(query, _parameters(_spans(cursor, level, planned.kept), _until(cursor, level)))
            lost, gone[level.name] = cursor.fetchone() or (0, 0)
            if lost:
                raise RebuildRefusedError(
                    f"{level.name}: {lost} candles whose ticks are gone would not be seen in the new one, since "
                    "nothing after them can be materialized as yet. Try again when there are ticks of a whole bucket"
                )
    return Rebuilt(planned.carried, gone)


def _pause(database: Database, policies: Sequence[Policy], paused: list[int]) -> None:
    """Pause the policies of the old candles: a server may crash when a candle is dropped just as its policy starts."""
    with database.transaction() as cursor:
        for policy in policies:
            for job in policy_jobs.find(cursor, policy):
                if job.scheduled:
                    _schedule(cursor, job.job_id, scheduled=False)
                    paused.append(job.job_id)
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        with database.transaction() as cursor:
            cursor.execute(sql_files.read("queries/rebuild/running_jobs.sql"), {"jobs": paused})
            (running,) = cursor.fetchone() or (0,)
        if not running:
            return
        if time.monotonic() > deadline:
            raise RebuildRefusedError(
                f"a refresh policy of the old candles is still running after {DRAIN_SECONDS} s; try again later"
            )
        time.sleep(1)


def _schedule(cursor: Cursor, job_id: int, *, scheduled: bool) -> None:
    cursor.execute(sql_files.read("queries/rebuild/schedule_job.sql"), {"job": job_id, "scheduled": scheduled})


def _discard(database: Database) -> None:
    """Drop what is left in the two schemas by this rebuild, or by one that was interrupted."""
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname IN (%s, %s)", (NEW, OLD))
        if cursor.fetchone() == (0,):
            return
        for level in reversed(CANDLES):
            cursor.execute(sql_files.compose("queries/rebuild/drop_candle.sql", candle=sql.Identifier(level.name)))
        cursor.execute(sql_files.read("queries/rebuild/drop_schemas.sql"))


def _parameters(spans: Sequence[Span], until: datetime) -> dict[str, Any]:
    return {"begins": [span.begin for span in spans], "ends": [span.end for span in spans], "until": until}
