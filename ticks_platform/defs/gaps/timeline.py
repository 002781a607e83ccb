"""The gaps of a feed along time, as a picture."""

import base64
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.feeds.calendars import calendar
from ticks_platform.pictures import timeline as pictures
from ticks_platform.timescale import gap_reports

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

SHOWN_AT_LEAST, SHOWN = timedelta(hours=1), timedelta(hours=24)
SYMBOLS = 12
"""Lanes of a timeline; the event log keeps its Markdown for ever."""


def timeline(cursor: "Cursor", feed: str, now: datetime) -> dg.MetadataValue | None:
    """A picture of the last 24 hours of a feed; None when it has no symbols."""
    begin = now - SHOWN
    lanes, symbols = gap_reports.timeline(cursor, feed, begin=begin, end=now, symbols=SYMBOLS)
    if not lanes:
        return None
    # The picture of a younger feed begins with the feed.
    known_from = min(lane.calendars[0][0] for lane in lanes)
    begin = max(begin, min(known_from, *(gap[0] for lane in lanes for gap in lane.gaps), now - SHOWN_AT_LEAST))
    drawn = []
    for lane in lanes:
        spans = [
            pictures.Span(start, end or now, cause if state == "open" else state)
            for start, end, cause, state in lane.gaps
        ]
        for (since, name), (until, _) in pairwise([*lane.calendars, (now, "")]):
            spans += _closed(name, max(begin, since), until)
        if lane.calendars[0][0] > begin:
            spans.append(pictures.Span(begin, lane.calendars[0][0], "not wanted"))
        drawn.append(pictures.Lane(lane.symbol, spans))
    more = f", {len(lanes)} of {symbols} symbols" if symbols > len(lanes) else ""
    title = f"{feed}: since {begin:%b %d %H:%M}{more}"
    image = pictures.draw(title, drawn, begin=begin, end=now)
    encoded = base64.b64encode(image.encode()).decode()
    return dg.MetadataValue.md(f"![gaps of {feed}](data:image/svg+xml;base64,{encoded})")


def _closed(name: str, begin: datetime, end: datetime) -> list[pictures.Span]:
    """When a provider does not send."""
    if begin >= end:
        return []
    found, since = [], begin.timestamp()
    for opens, closes in [*calendar(name).sessions(begin.timestamp(), end.timestamp()), (end.timestamp(),) * 2]:
        if opens > since:
            times = (datetime.fromtimestamp(since, timezone.utc), datetime.fromtimestamp(opens, timezone.utc))
            found.append(pictures.Span(*times, "closed"))
        since = closes
    return found
