"""Checks that heal: a candle that its ticks, or the finer candles, do not make is refreshed and judged again."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import ERROR, WARN, Subject, Verdict
from ticks_platform.defs.common.examples import examples, explained
from ticks_platform.defs.gaps import proof
from ticks_platform.ingestion.repair import true_up_days
from ticks_platform.timescale.candles import candle_proof, proving, reconciliation
from ticks_platform.timescale.candles.reconciliation import Reconciliation

TICKS_WINDOW: timedelta = reconciliation.WINDOW
"""How far back every closed minute is compared with its ticks."""
FINER_WINDOW: timedelta = reconciliation.LEVELS_WINDOW
"""How far back candles are compared with the finer ones."""


def candles_equal_ticks(subject: Subject) -> Verdict:
    """Candles of a minute are those of their ticks."""
    feeds = subject.settings.feeds
    with subject.database.autocommit() as cursor:
        proving.note_true_ups(
            cursor,
            {feed.name: true_up_days.obstacle(feed, feed.keyless_connector().history()) is None for feed in feeds},
        )
    fresh = proof.FRESH if subject.by_schedule else timedelta(0)
    result = proof.compare(subject.database, [feed.name for feed in feeds], fresh=fresh)
    with subject.database.autocommit() as cursor:
        until = candle_proof.until(cursor)
    right = "all {candles} candles are those of their ticks"
    if until is not None:
        right += f"; proven until {until:%Y-%m-%d %H:%M} UTC"
    verdict = _verdict(subject, result, right=right)
    if until is not None:
        verdict = verdict._replace(metadata={**verdict.metadata, "proven until": dg.MetadataValue.timestamp(until)})
    return verdict


def candles_equal_finer(subject: Subject) -> Verdict:
    """Candles of an hour or a day are those of the next finer ones."""
    with subject.database.autocommit() as cursor:
        result = reconciliation.reconcile_levels(cursor, subject.candle, follow=subject.by_schedule)
    return _verdict(subject, result, right="all {candles} candles are those of the finer ones")


def _verdict(subject: Subject, result: Reconciliation, *, right: str) -> Verdict:
    wrong, left = result.wrong.differing, result.left.differing
    parts = []
    if result.healed:
        parts.append(f"{result.healed} candles were wrong; a forced refresh healed them")
    if left:
        parts.append(f"{left} candles are wrong; a forced refresh does not heal them")
    if not wrong:
        parts.append(right.format(candles=result.found.candles))
    if result.late:
        parts.append(f"{result.late} had late ticks and were refreshed")
    return Verdict(
        passed=wrong == 0,
        severity=ERROR if left else WARN,
        description="; ".join(parts),
        metadata={
            "candles": dg.MetadataValue.int(result.found.candles),
            "differing": dg.MetadataValue.int(result.found.differing),
            "late": dg.MetadataValue.int(result.late),
            "healed": dg.MetadataValue.int(result.healed),
            "not healed": dg.MetadataValue.int(left),
            **examples(
                explained((*result.left.examples, *result.wrong.examples)[: reconciliation.EXAMPLES], subject.asset)
            ),
        },
    )
