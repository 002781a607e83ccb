"""Candles of a minute that were found to be those of their ticks, and what of them is to be compared, or again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import ONE_MINUTE, Candle

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

BUDGET = 3_000_000
"""Ticks whose candles are compared at a time, beside those of the last two hours: some five seconds."""
_LOOKED_AT = 1_500_000
"""Candles that are looked at, at a time: about a second."""
_AT_ONCE = 1_000_000
"""Ticks of an hour up to which its candles are compared in one statement, and not in slices of ten minutes; and at
once, not when they are three minutes old."""
_HOUR = timedelta(hours=1)

Span = tuple[datetime, datetime]


class Due(NamedTuple):
    """What is to be compared, and what was found to be the same as when it was."""

    unchanged: int
    """Candles that were proven, and have not changed."""
    slices: Sequence[Span]
    """What is to be compared, in parts of ten minutes at most."""
    spans: Sequence[Span]
    """The same, as it is compared at once."""
    hashes: dict[Span, tuple[int, int]]
    """The number and the hash of the candles of each slice, from before they are compared; empty where nothing may be
    noted."""


def materialized(cursor: Cursor, candle: Candle) -> tuple[sql.Composable, datetime | None]:
    """The table that holds a candle, and until when it is materialized."""
    cursor.execute(sql_files.read("queries/candles/materialized.sql"), {"candle": candle.name})
    name, until = cursor.fetchone() or (candle.name, None)
    return sql.SQL(name), until


def due(cursor: Cursor, *, window: timedelta, fresh: timedelta) -> Due:
    """What is new or has changed; what has not is noted. Candles that were looked at within `fresh` are not, again."""
    table, until = materialized(cursor, ONE_MINUTE)
    if until is not None:
        cursor.execute(sql_files.read("queries/candle_proof/closed.sql"), {"until": until})
        (until,) = cursor.fetchone() or (until,)
    query = sql_files.compose("queries/candle_proof/look.sql", table=table)
    cursor.execute(query, {"fresh": fresh, "budget": _LOOKED_AT})
    unchanged, begins, ends = cursor.fetchone() or (0, [], [])
    query = sql_files.compose("queries/candle_proof/due.sql", table=table)
    parameters = {"window": window, "until": until, "budget": BUDGET, "begins": begins, "ends": ends, "many": _AT_ONCE}
    cursor.execute(query, parameters)
    slices: list[Span] = []
    spans: list[Span] = []
    ticks_before = 0.0
    for begin, end, ticks, is_new in cursor.fetchall():
        # The others come first at the next time.
        if not is_new and ticks_before > BUDGET:
            break
        ticks_before += 0 if is_new else ticks * ((end - begin) / _HOUR)
        slices.append((begin, end))
        if spans and ticks <= _AT_ONCE and spans[-1][0] == end and spans[-1][1] - begin <= _HOUR:
            spans[-1] = (begin, spans[-1][1])
        else:
            spans.append((begin, end))
    hashes: dict[Span, tuple[int, int]] = {}
    if slices and until is not None:
        query = sql_files.compose("queries/candle_proof/hashes.sql", table=table)
        cursor.execute(query, {"begins": [begin for begin, _ in slices], "ends": [end for _, end in slices]})
        found = {begin: (candles, number) for begin, candles, number in cursor.fetchall()}
        hashes = {each: found[each[0]] for each in slices}
    return Due(unchanged, slices, spans, hashes)


def record(cursor: Cursor, compared: Due, wrong: Collection[datetime]) -> None:
    """Note what was compared and was right; slices with a `wrong` bucket are compared again."""
    right = [
        (*each, *found)
        for each, found in compared.hashes.items()
        if not any(each[0] <= bucket < each[1] for bucket in wrong)
    ]
    if compared.slices:
        parameters = {
            "begins": [begin for begin, *_ in right],
            "ends": [end for _, end, *_ in right],
            "candles": [candles for *_, candles, _ in right],
            "hashes": [str(found) for *_, found in right],
            "all_begins": [begin for begin, _ in compared.slices],
            "all_ends": [end for _, end in compared.slices],
        }
        cursor.execute(sql_files.read("queries/candle_proof/record.sql"), parameters)
    cursor.execute(sql_files.read("queries/candle_proof/join.sql"))


def until(cursor: Cursor) -> datetime | None:
    """Until when all candles of a minute are proven; None if none is."""
    cursor.execute(sql_files.read("queries/candle_proof/until.sql"))
    found: tuple[datetime | None] = cursor.fetchone() or (None,)
    return found[0]
