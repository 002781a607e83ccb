"""The check of returns: a jump is more often a bad tick than a price, and a factor of 100 a changed unit."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import examples, explained
from ticks_platform.timescale import quality

JUDGED = timedelta(hours=2)
WINDOW = timedelta(days=1)
"""How far back the usual spread of a symbol's returns is measured."""
ENOUGH = 30
"""Returns that this needs."""
LIMIT = 25.0
"""Robust z-score. Returns have heavy tails: 10 happens to real prices, a misplaced point is 1,000."""


def prices_do_not_jump(subject: Subject) -> Verdict:
    """No return is a jump, and no symbol's prices change their unit."""
    with subject.database.transaction() as cursor:
        found = quality.jumps(cursor, judged=JUDGED, window=WINDOW, enough=ENOUGH, limit=LIMIT)
    words = []
    if found.jumps:
        words.append(f"{found.jumps} of {found.judged} returns are jumps")
    if found.changed_units:
        symbols = ", ".join(sorted({row["symbol"] for row in found.examples if "unit" in str(row.get("problem"))}))
        words.append(
            f"the unit of prices changes {found.changed_units} times, by a factor of 100{symbols and f' ({symbols})'}: "
            "two listings may share a symbol, or the provider has changed the unit"
        )
    return Verdict(
        passed=not words,
        description="; ".join(words) or f"none of {found.judged} returns is a jump",
        metadata={
            "judged": dg.MetadataValue.int(found.judged),
            "offending": dg.MetadataValue.int(found.jumps),
            "changed units": dg.MetadataValue.int(found.changed_units),
            **examples(explained(found.examples, subject.asset)),
        },
    )
