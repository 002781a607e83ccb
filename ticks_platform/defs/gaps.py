"""The asset `feed_gaps`: when nobody listened to a symbol, in a table and along time; and the check of what is open."""

import base64
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.defs.assets import KINDS, LIVE, MAX_RUNTIME, OWNERS, definition_metadata
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.pictures import timeline
from ticks_platform.timescale import gap_reports, sql_files
from ticks_platform.timescale.gap_reports import GapRow

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

SHOWN_AT_LEAST, SHOWN = timedelta(hours=1), timedelta(hours=24)
SYMBOLS = 12
"""Lanes of a timeline; its Markdown stays in the event log for ever."""
ROWS = 25
"""Rows of the table of gaps."""
EXAMPLES = 10


def feed_gaps(settings: PlatformSettings) -> dg.AssetsDefinition:
    """The asset `feed_gaps` over the feeds of feeds.yaml."""
    feeds = [feed.name for feed in settings.feeds]

    @dg.asset(
        name="feed_gaps",
        deps=["stocks_real_time", "one_minute_candle", "market_calendar"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/feed_gap.sql"),
        description=(
            "The gaps: when a symbol was wanted, its market was open, and nobody listened, so that ticks may be "
            "missing. Ingestion keeps the table ticks_platform.feed_gap; materializing this brings it up to date, also "
            "where no ingestion is left to do so, shows the newest gaps and the last 24 hours of each feed, and makes "
            "the function ticks_platform.why_no_candle, which says of any bucket why it has no candle."
        ),
    )
    def asset(database: DatabaseResource) -> dg.MaterializeResult[None]:
        now = datetime.now(timezone.utc)
        with database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
        _reckon(database, feeds, now)
        for feed in feeds:
            with database.transaction() as cursor:
                gaps.forget_old(cursor, feed, now=now)
        with database.transaction() as cursor:
            rows = gap_reports.newest(cursor, feeds, now=now, limit=ROWS)
            totals = gap_reports.totals(cursor, feeds, now=now)
            pictures = {f"timeline of {feed}": _timeline(cursor, feed, now) for feed in feeds}
        counts = {f"gaps {state}": total.gaps for state, total in totals.items()}
        return dg.MaterializeResult(
            data_version=LIVE,
            metadata={
                "gaps open": 0,
                **counts,
                "seconds open": round(totals["open"].seconds, 1) if "open" in totals else 0.0,
                "rows repaired": sum(total.rows_repaired for total in totals.values()),
                "newest gaps": dg.MetadataValue.md(_table(rows)),
                **{name: picture for name, picture in pictures.items() if picture is not None},
            },
        )

    return asset


def gaps_are_closed(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `gaps_are_closed` over the feeds of feeds.yaml."""
    feeds = [feed.name for feed in settings.feeds]

    @dg.asset_check(
        asset="feed_gaps",
        name="gaps_are_closed",
        description=(
            "No gap is open: each has been repaired, or somebody has said that it cannot be or need not be. Brings the "
            "table of gaps up to date first."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        now = datetime.now(timezone.utc)
        _reckon(database, feeds, now)
        with database.transaction() as cursor:
            found = gap_reports.totals(cursor, feeds, now=now).get("open")
            examples = gap_reports.newest(cursor, feeds, now=now, limit=EXAMPLES, states=("open",))
        count, going_on, seconds = (found.gaps, found.going_on, found.seconds) if found else (0, 0, 0.0)
        metadata: dict[str, dg.MetadataValue] = {
            "open": dg.MetadataValue.int(count),
            "going on": dg.MetadataValue.int(going_on),
            "seconds": dg.MetadataValue.float(round(seconds, 3)),
        }
        if examples:
            metadata["newest"] = dg.MetadataValue.table([_record(row) for row in examples])
        return dg.AssetCheckResult(
            passed=not count,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{count} gaps are open, {going_on} of them go on; {seconds:.0f} s in all, summed over symbols",
            metadata=metadata,
        )

    return check


keep_gaps = dg.define_asset_job(
    "keep_gaps",
    selection=dg.AssetSelection.assets("feed_gaps").without_checks(),
    tags=MAX_RUNTIME,
    description="Brings the table of gaps up to date and draws it.",
)


def _reckon(database: DatabaseResource, feeds: list[str], now: datetime) -> None:
    for feed in feeds:
        # A transaction each: it holds up the loader of its feed.
        with database.transaction() as cursor:
            gaps.update(cursor, feed, now=now)


def _timeline(cursor: "Cursor", feed: str, now: datetime) -> dg.MetadataValue | None:
    begin = now - SHOWN
    lanes, symbols = gap_reports.timeline(cursor, feed, begin=begin, end=now, symbols=SYMBOLS)
    if not lanes:
        return None
    # A feed that is younger than that has the width for itself.
    known_from = min(lane.wanted_from for lane in lanes)
    begin = max(begin, min(known_from, *(gap[0] for lane in lanes for gap in lane.gaps), now - SHOWN_AT_LEAST))
    drawn = []
    for lane in lanes:
        spans = [
            timeline.Span(start, end or now, cause if state == "open" else state)
            for start, end, cause, state in lane.gaps
        ]
        spans += _closed(lane.calendar, begin, now)
        if lane.wanted_from > begin:
            spans.append(timeline.Span(begin, lane.wanted_from, "not wanted"))
        drawn.append(timeline.Lane(lane.symbol, spans))
    more = f", {len(lanes)} of {symbols} symbols" if symbols > len(lanes) else ""
    title = f"{feed}: since {begin:%b %d %H:%M}{more}"
    image = timeline.draw(title, drawn, begin=begin, end=now)
    encoded = base64.b64encode(image.encode()).decode()
    return dg.MetadataValue.md(f"![gaps of {feed}](data:image/svg+xml;base64,{encoded})")


def _closed(name: str, begin: datetime, end: datetime) -> list[timeline.Span]:
    """When a market was closed."""
    found, since = [], begin.timestamp()
    for opens, closes in [*calendar(name).sessions(begin.timestamp(), end.timestamp()), (end.timestamp(),) * 2]:
        if opens > since:
            times = (datetime.fromtimestamp(since, timezone.utc), datetime.fromtimestamp(opens, timezone.utc))
            found.append(timeline.Span(*times, "closed"))
        since = closes
    return found


def _table(rows: list[GapRow]) -> str:
    if not rows:
        return "There are no gaps."
    lines = ["| feed | symbol | from (UTC) | to | seconds | cause | state | rows repaired | |", "|" + "---|" * 9]
    for row in rows:
        cells = _record(row).data
        lines.append(
            "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells.values()) + " |"
        )
    return "\n".join(lines)


def _record(row: GapRow) -> dg.TableRecord:
    end = "goes on" if row.ends_at is None else _time(row.ends_at)
    return dg.TableRecord(
        {
            "feed": row.feed,
            "symbol": row.symbol,
            "from": _time(row.begins_at),
            "to": end,
            "seconds": round(row.seconds, 3),
            "cause": row.cause,
            "state": row.state,
            "rows repaired": row.rows_repaired,
            "detail": row.detail[:200],
        }
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
