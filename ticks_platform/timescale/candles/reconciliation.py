"""Candles compared with their ticks and with finer candles; those that differ are refreshed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2.errors
from psycopg2 import sql

from ticks_platform.intervals import merge
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles import candle_proof, candles, judged
from ticks_platform.timescale.candles.candles import (
    CANDLES,
    ONE_HOUR,
    ONE_MINUTE,
    REFRESH_ATTEMPTS,
    REFRESH_PAUSE,
    Candle,
)

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

WINDOW = timedelta(minutes=30)
"""How far back every candle is compared once, whoever made its ticks; older hours are if their ticks were counted."""
LEVELS_WINDOW = timedelta(days=7)
"""How far back candles are compared with the next finer ones."""
HEALING_ATTEMPTS = 3
"""A tick that arrives between the refresh and the comparison may make a candle differ again."""
EXAMPLES = 10

Span = tuple[datetime, datetime]


class Comparison(NamedTuple):
    """How many candles were compared with what they should be, and those that differ."""

    candles: int = 0
    differing: int = 0
    buckets: tuple[datetime, ...] = ()
    """The buckets with a candle that differs."""
    examples: tuple[dict[str, Any], ...] = ()
    spans: tuple[Span, ...] = ()
    """What was compared."""


class Reconciliation(NamedTuple):
    """What was found, and what became of it."""

    found: Comparison
    late: int
    """Candles that the database considered behind: an ordinary refresh corrected them."""
    wrong: Comparison
    """Wrong candles that the database considered current: an ordinary refresh left them as they were."""
    left: Comparison
    """Candles that still differ."""

    @property
    def healed(self) -> int:
        """Candles that only a forced refresh corrected."""
        return max(self.wrong.differing - self.left.differing, 0)


def reconcile(cursor: Cursor, *, window: timedelta = WINDOW, fresh: timedelta = timedelta(0)) -> Reconciliation:
    """Compare minutes with their ticks, and refresh those that differ, in all candles of the hierarchy.

    Each is compared once, and again when it has changed; those that were looked at within `fresh` are not, again.
    The caller must not be in a transaction. Only closed buckets whose ticks are all stored are compared: a refresh of
    others would delete candles whose ticks are gone.
    """
    due = candle_proof.due(cursor, window=window, fresh=fresh)
    result = _reconcile(cursor, ONE_MINUTE, _of_ticks(), due.spans[::-1])
    candle_proof.record(cursor, due, set(result.found.buckets))
    found = result.found._replace(candles=result.found.candles + due.unchanged)
    return result._replace(found=found)


def reconcile_levels(
    cursor: Cursor, candle: Candle, *, window: timedelta = LEVELS_WINDOW, follow: bool = False
) -> Reconciliation:
    """Compare candles with the next finer ones, and refresh those that differ, from the ticks up.

    As `reconcile`, but about a hundred times cheaper, and so over a much longer time. With `follow`, hours are left out
    that were right and have not changed, neither they nor their minutes.
    """
    spans = _reconcilable(cursor, candle, window)
    if not follow or candle is not ONE_HOUR:
        return _reconcile_levels(cursor, candle, spans)
    known = judged.find(cursor, "candles_equal_finer", window=window, levels=True)
    left = known.left(spans)
    result = _reconcile_levels(cursor, candle, left)
    compared = [hour for hour in known.hours if any(begin <= hour.begin < end for begin, end in left)]
    judged.note(cursor, known._replace(hours=compared), wrong=set(result.found.buckets))
    return result._replace(found=result.found._replace(candles=result.found.candles + known.known))


def differing_levels(cursor: Cursor, candle: Candle, spans: Sequence[Span]) -> Comparison:
    """Compare candles with the next finer ones, and change nothing."""
    assert candle.finer is not None
    return _compare(cursor, candle, _of_finer(candle, candle.finer), merge(spans))


def _of_finer(candle: Candle, finer: Candle) -> sql.Composed:
    recomputed = sql_files.compose("queries/checks/candles_equal_finer.sql", finer=sql.Identifier(finer.name))
    return _query(candle, recomputed)


def _reconcile_levels(cursor: Cursor, candle: Candle, spans: Sequence[Span]) -> Reconciliation:
    finer = candle.finer
    if finer is None:
        return _reconcile(cursor, candle, _of_ticks(), spans)
    query = _of_finer(candle, finer)
    found = _compare(cursor, candle, query, spans)
    differing = _spans(found.buckets, candle.bucket)
    if not differing:
        return Reconciliation(found, 0, Comparison(), Comparison())
    # The finer candle first: either may be the wrong one, and a refresh would take over what is wrong there.
    below = _reconcile_levels(cursor, finer, differing)
    above = _reconcile(cursor, candle, query, differing)
    return Reconciliation(found, below.late + above.late, _sum(below.wrong, above.wrong), _sum(below.left, above.left))


def _of_ticks() -> sql.Composed:
    return _query(ONE_MINUTE, sql_files.compose("queries/checks/candles_equal_ticks.sql"))


def _sum(one: Comparison, other: Comparison) -> Comparison:
    return Comparison(
        one.candles + other.candles,
        one.differing + other.differing,
        (*one.buckets, *other.buckets),
        (*one.examples, *other.examples)[:EXAMPLES],
        (*one.spans, *other.spans),
    )


def _query(candle: Candle, recomputed: sql.Composable) -> sql.Composed:
    name = sql.Identifier(candle.name)
    return sql_files.compose("queries/checks/candles_compared.sql", candle=name, recomputed=recomputed)


def _reconcile(cursor: Cursor, candle: Candle, query: sql.Composed, spans: Sequence[Span]) -> Reconciliation:
    found = _compare(cursor, candle, query, spans)
    wrong = found
    # Late ticks may come between a refresh and the comparison: no candle is wrong for that.
    for _ in range(HEALING_ATTEMPTS):
        if not wrong.differing:
            break
        _refresh(cursor, candle, wrong.buckets, force=False)
        wrong = _compare(cursor, candle, query, _spans(wrong.buckets, candle.bucket))
    left = wrong
    for _ in range(HEALING_ATTEMPTS):
        if not left.differing:
            break
        _refresh(cursor, candle, left.buckets, force=True)
        left = _compare(cursor, candle, query, _spans(left.buckets, candle.bucket))
    return Reconciliation(found, max(found.differing - wrong.differing, 0), wrong, left)


def _reconcilable(cursor: Cursor, candle: Candle, window: timedelta) -> list[Span]:
    """The ranges to compare, in whole buckets."""
    cursor.execute(sql_files.read("queries/checks/reconcilable_hours.sql"), {"width": candle.bucket, "window": window})
    whole = [
        (candles.floor(begin + candle.bucket - timedelta(microseconds=1), candle), candles.floor(end, candle))
        for begin, end in merge(cursor.fetchall())
    ]
    return [(begin, end) for begin, end in whole if begin < end]


def _compare(cursor: Cursor, candle: Candle, query: sql.Composed, spans: Sequence[Span]) -> Comparison:
    """One statement a span, and so one snapshot: a tick that arrives meanwhile is on both sides of it or on neither."""
    total = Comparison()
    for begin, end in reversed(spans):
        cursor.execute(query, {"width": candle.bucket, "begin": begin, "end": end})
        compared, differing, buckets, examples = cursor.fetchone() or (0, 0, [], [])
        total = _sum(total, Comparison(compared, differing, tuple(buckets), tuple(examples), ((begin, end),)))
    return total


def _refresh(cursor: Cursor, candle: Candle, buckets: Sequence[datetime], *, force: bool) -> None:
    """Refresh these buckets of a candle in the whole hierarchy, the finest candle first."""
    names = [level.name for level in CANDLES]
    cursor.execute(
        "SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_name = ANY (%s)", (names,)
    )
    present = {name for (name,) in cursor.fetchall()}
    cursor.execute(sql_files.read("queries/candles/refresh_arguments.sql"))
    knows_force, knows_options = cursor.fetchone() or (False, False)
    call = "CALL refresh_continuous_aggregate(%s::regclass, %s, %s"
    if force and knows_force:
        call += ", force => true"
    if knows_options:
        # All in one batch: the default of newer releases, ten buckets a batch, takes many times as long.
        call += """, options => '{"buckets_per_batch": 0}'"""
    call += ")"
    for level in CANDLES:
        name, width = level.name, level.bucket
        if name not in present:
            continue
        cursor.execute("SELECT time_bucket(%s, now())", (width,))
        (now,) = cursor.fetchone() or (None,)
        assert now is not None
        wanted = []
        for begin, end in _spans(buckets, candle.bucket):
            cursor.execute(
                "SELECT time_bucket(%(width)s, %(begin)s), time_bucket(%(width)s, %(last)s) + %(width)s",
                {"width": width, "begin": begin, "last": end - timedelta(microseconds=1)},
            )
            wanted.append(cursor.fetchone() or (begin, end))
        for begin, end in merge(wanted):
            # An open bucket must not be materialized: ticks that arrive in it later would stay hidden.
            if begin < min(end, now):
                _call(cursor, call, (name, begin, min(end, now)))


def _call(cursor: Cursor, call: str, arguments: tuple[Any, ...]) -> None:
    for remaining in reversed(range(REFRESH_ATTEMPTS)):
        try:
            cursor.execute(call, arguments)
        except psycopg2.errors.LockNotAvailable:
            # The candle's policy is running; it takes seconds.
            if not remaining:
                raise
            time.sleep(REFRESH_PAUSE)
        else:
            return


def _spans(buckets: Iterable[datetime], width: timedelta) -> list[Span]:
    return merge((bucket, bucket + width) for bucket in buckets)
