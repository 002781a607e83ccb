"""The check `gaps_are_closed`: a function, since it brings the table of gaps up to date first."""

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import Metadata
from ticks_platform.defs.gaps.feed_gaps import bring_up_to_date, record
from ticks_platform.timescale import gap_reports, server_clock

EXAMPLES = 10


def gaps_are_closed(subject: Subject) -> Verdict:
    """No gap is open."""
    feeds = [feed.name for feed in subject.settings.feeds]
    with subject.database.transaction() as cursor:
        now = server_clock.now(cursor)
    bring_up_to_date(subject.database, feeds, now)
    with subject.database.transaction() as cursor:
        found = gap_reports.totals(cursor, feeds, now=now).get("open")
        newest = gap_reports.newest(cursor, feeds, now=now, limit=EXAMPLES, states=("open",))
    count, ongoing, seconds = (found.gaps, found.going_on, found.seconds) if found else (0, 0, 0.0)
    metadata: Metadata = {
        "open": dg.MetadataValue.int(count),
        "going on": dg.MetadataValue.int(ongoing),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
    }
    if newest:
        metadata["newest"] = dg.MetadataValue.table([record(row) for row in newest])
    return Verdict(
        passed=not count,
        description=f"{count} gaps are open, {ongoing} of them ongoing; {seconds:.0f} s in all, summed over symbols",
        metadata=metadata,
    )
