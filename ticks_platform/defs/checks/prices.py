"""The check `prices_are_positive_and_finite`: a function, since the schedule judges each tick once, as it is new."""

from datetime import timedelta

from ticks_platform.defs.checks.check import Query, Subject, Verdict
from ticks_platform.timescale import quality

WINDOW = timedelta(hours=1)

_WHOLE = Query(
    "queries/checks/prices_are_positive_and_finite.sql",
    good="all {judged} ticks have a possible price",
    bad="{offending} of {judged} ticks have an impossible price",
    parameters={"window": WINDOW},
)
"""Reads every tick of the window."""


def prices_are_positive_and_finite(subject: Subject) -> Verdict:
    """The ticks of the last hour have possible prices; all are read where one does not, or where a person asks."""
    if subject.by_schedule:
        with subject.database.transaction() as cursor:
            judged, offending = quality.impossible_prices(cursor, window=WINDOW)
        if not offending:
            return _WHOLE.verdict(quality.Finding(judged, 0, []), subject)
    return _WHOLE(subject)
