"""Whether the rules know the conditions that the provider sends."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import examples
from ticks_platform.ingestion import eligibility
from ticks_platform.timescale import quality

WINDOW = timedelta(days=1)


def conditions_are_known(subject: Subject) -> Verdict:
    """No tick has a condition without a rule; a function, since feeds.yaml says which feeds have rules."""
    feeds = eligibility.feeds_with_rules(subject.settings.feeds)
    with subject.database.transaction() as cursor:
        unknown = quality.unknown_conditions(cursor, feeds, window=WINDOW)
    found = "; ".join(
        f"feed {each.feed}: condition {each.condition} of {each.ticks} ticks, first at {each.first_seen:%Y-%m-%d %H:%M}"
        for each in unknown
    )
    return Verdict(
        passed=not unknown,
        description=f"no rule, so they restrict nothing: {found}" if found else "every condition has a rule",
        metadata={
            "unknown": dg.MetadataValue.int(len(unknown)),
            **examples(each._asdict() for each in unknown),
        },
    )
