"""What stored ticks may change in a candle, computed again from their conditions: for when the rules have changed.

Only the bits 1 to 4 of `updates` are computed. That a tick was cancelled, or is of a secondary feed, is not for the
conditions to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.updates import ALL
from ticks_platform.feeds.us_stocks.conditions import Rules
from ticks_platform.feeds.us_stocks.regular_hours import hours_of_day
from ticks_platform.timescale import fingerprints, sql_files
from ticks_platform.timescale.candles import late_ticks
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import from_nanoseconds, to_nanoseconds

_DAY = timedelta(days=1)


class Changed(NamedTuple):
    """Ticks whose bits have changed."""

    symbol: str
    conditions: tuple[int, ...]
    before: int
    after: int
    ticks: int


class _Rule(NamedTuple):
    """What trades with these conditions may change in a part of a day."""

    begin: datetime
    end: datetime
    conditions: list[int]
    updates: int


def feeds_with_rules(feeds: Iterable[FeedSettings]) -> list[str]:
    """The names of the feeds whose conditions have rules: those of US stock trades."""
    connectors = {feed.name: feed.keyless_connector() for feed in feeds}
    return [name for name, connector in connectors.items() if connector.has_trade_rules]


def recompute(database: Database, feeds: Sequence[str], day: datetime, rules: Rules) -> list[Changed]:
    """Give the ticks of these feeds on a UTC day the bits of the rules, and refresh the day's candles.

    Ticks without conditions are left as they are. Compressed chunks stay compressed but for the symbols that change;
    the columnstore policy compresses those again. If the refresh fails, the job catch_up does it.
    """
    span = {"feeds": list(feeds), "begin": day, "end": day + _DAY}
    with database.transaction() as cursor:
        cursor.execute(sql_files.read("queries/eligibility/conditions.sql"), span)
        asked = list(_of_day(rules, day, [conditions for (conditions,) in cursor.fetchall()]))
        parameters = {
            **span,
            "begins": [rule.begin for rule in asked],
            "ends": [rule.end for rule in asked],
            "conditions": ["{" + ",".join(map(str, rule.conditions)) + "}" for rule in asked],
            "updates": [rule.updates for rule in asked],
        }
        cursor.execute(sql_files.read("queries/eligibility/differing.sql"), parameters)
        changed = [Changed(symbol, tuple(conditions), *rest) for symbol, conditions, *rest in cursor.fetchall()]
        if changed:
            symbols = sorted({each.symbol for each in changed})
            parameters["symbols"] = symbols
            # The limit guards against statements that unpack more than was meant; this one is about whole days.
            cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
            with fingerprints.followed(cursor, feeds, day, day + _DAY, symbols):
                cursor.execute(sql_files.read("queries/eligibility/apply.sql"), parameters)
            cursor.execute(sql_files.read("queries/candles/forget_refreshes.sql"), span)
    with database.autocommit() as cursor:
        late_ticks.refresh_days(cursor, day, day + _DAY)
    return changed


def _of_day(rules: Rules, day: datetime, different: Iterable[list[int]]) -> Iterator[_Rule]:
    """What trades of the day with each of these conditions may change."""
    begin, end = to_nanoseconds(day), to_nanoseconds(day + _DAY)
    cuts = {begin, *(hours.end for hours in hours_of_day(begin)), *(at for at in rules.starts if begin < at < end)}
    for conditions in different:
        read = rules.of(conditions)
        for first, last in pairwise(sorted(cuts)):
            bits = rules.updates(read, first)
            yield _Rule(from_nanoseconds(first), from_nanoseconds(last), conditions, ALL if bits is None else bits)
