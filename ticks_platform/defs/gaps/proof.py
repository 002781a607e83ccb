"""Compares candles with their ticks, and notes what is proven: of the check `candles_equal_ticks`, and of a repair."""

from collections.abc import Sequence
from datetime import timedelta

from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.gaps.feed_gaps import bring_up_to_date
from ticks_platform.ingestion import audit
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles import proving, reconciliation
from ticks_platform.timescale.candles.reconciliation import Reconciliation

FRESH = timedelta(minutes=6)
"""For how long nobody but a person who asks reads again what was read: the schedule comes every four minutes."""


def prove(ticks_database: DatabaseResource, feeds: Sequence[str]) -> Reconciliation:
    """Prove the hours that were fetched of a new symbol, without waiting for the schedule.

    The ticks are compared with what was loaded, and the candles with the ticks, as the checks do.
    """
    with ticks_database.autocommit() as cursor:
        audit.hours(cursor, fresh=FRESH, patience=True)
    return compare(ticks_database, feeds)


def compare(
    ticks_database: DatabaseResource,
    feeds: Sequence[str],
    *,
    fresh: timedelta = timedelta(0),
) -> Reconciliation:
    """Compare candles of a minute with their ticks as `reconcile` does, and note what is proven of them now.

    `feeds` are those of feeds.yaml, whose gaps are computed: what is proven has none, as far as anybody knows by then.
    """
    with ticks_database.autocommit() as cursor:
        untils = proving.received_until(cursor)
        result = reconciliation.reconcile(cursor, fresh=fresh)
        now = server_clock.now(cursor)
    bring_up_to_date(ticks_database, feeds, now)
    with ticks_database.autocommit() as cursor:
        proving.record(cursor, untils, result)
    return result
