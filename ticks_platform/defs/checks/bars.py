"""The check `candles_equal_bars`: a function, since each feed has its tolerance, and it states a share as well."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import Metadata, examples, explained
from ticks_platform.timescale import quality

WINDOW = timedelta(hours=2)
SETTLING = timedelta(minutes=15)
"""Polygon corrects bars for so long."""
EXAMPLES = 100
"""Minutes that are named, with ours and theirs; the newest if more differ."""


def candles_equal_bars(subject: Subject) -> Verdict:
    """Our candles are the provider's bars: this finds losses that no gap explains."""
    # Of a secondary feed, the bars are not those of the candles.
    tolerances = {feed.name: feed.tolerance for feed in subject.settings.feeds if feed.candles}
    with subject.database.transaction() as cursor:
        found = quality.against_bars(cursor, tolerances, window=WINDOW, settling=SETTLING, examples=EXAMPLES)
    share = "" if found.share is None else f"; our ticks have {found.share:.2%} of the provider's volume"
    return Verdict(
        passed=not found.differing,
        description=(
            f"{found.differing} of {found.minutes} candles differ from the provider's bars{share}"
            if found.minutes
            else "no primary feed has minute bars to compare with"
        ),
        metadata={
            # The UI would plot 0 of 0 as if something were compared.
            **(_counts(found.minutes, found.differing) if found.minutes else {}),
            **({} if found.share is None else {"share of ticks": dg.MetadataValue.float(round(found.share, 6))}),
            **examples(explained(found.examples, subject.asset)),
        },
    )


def _counts(minutes: int, differing: int) -> Metadata:
    return {"minutes": dg.MetadataValue.int(minutes), "differing": dg.MetadataValue.int(differing)}
