"""The asset `feed_gaps`: when a symbol was not received, in a table and along time."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg

from ticks_platform.defs.common.bring_up import scheduled_job
from ticks_platform.defs.common.first_reports import report_first
from ticks_platform.defs.common.labels import KINDS, LIVE, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.gaps.timeline import timeline
from ticks_platform.escaping import markdown_cell
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.pictures.small import LONGEST
from ticks_platform.timescale import gap_reports, server_clock, sql_files
from ticks_platform.timescale.gap_reports import GapRow

ROWS = 500
"""Newest gaps that the table is made of: those that symbols have in common are one row."""

SETTLED = timedelta(hours=24)
"""How far back gaps are counted that are not open any more; those of years are not read."""

FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=40), fail_window=timedelta(hours=2))
"""keep_gaps brings it up to date every quarter of an hour."""

SYMBOLS = 3
"""Symbols that a row names."""


@dg.definitions
def feed_gaps() -> dg.Definitions:
    """The asset `feed_gaps` over the feeds of feeds.yaml."""
    feeds = [feed.name for feed in feed_settings().feeds]

    @dg.asset(
        name="feed_gaps",
        deps=["stocks_real_time", "one_minute_candle", "market_calendar"],
        group_name="gaps",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/feed_gap.sql"),
        freshness_policy=FRESHNESS,
        description=(
            "The gaps: when a feed should have received a symbol, its market was open, and nothing was connected, so "
            "that ticks may be missing. Ingestion keeps the table ticks_platform.feed_gap; materializing this brings "
            "it up to date, also where no ingestion is left to do so, shows the newest gaps and the last 24 hours of "
            "each feed, and creates the functions explain_candle and ticks_platform.why_no_candle, which say where a "
            "candle comes from, or why there is none."
        ),
    )
    def asset(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            now = server_clock.now(cursor)
            sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
        bring_up_to_date(ticks_database, feeds, now)
        for feed in feeds:
            with ticks_database.transaction() as cursor:
                gaps.forget_old(cursor, feed, now=now)
        # After those that it is made of, in bring_up too: what has nothing to do yet is not missing.
        report_first(context.instance, "corporate_actions", "true_up")
        report_first(context.instance, "gap_repair", partitions=feeds)
        return dg.MaterializeResult(data_version=LIVE, metadata=gaps_metadata(ticks_database, feeds, now))

    return dg.Definitions(assets=[asset])


@dg.definitions
def keep_gaps() -> dg.Definitions:
    """The job `keep_gaps` and its schedule."""
    return scheduled_job(
        "keep_gaps",
        "*/15 * * * *",
        # With its check, whose result would be of what was before. By name: a project may have checks of its own.
        dg.AssetSelection.assets("feed_gaps").without_checks()
        | dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("feed_gaps"), "gaps_are_closed")),
        description="Brings the table of gaps up to date, draws it, and checks whether gaps are open.",
        schedule_description="Every quarter of an hour, brings the table of gaps up to date and draws it.",
    )


def bring_up_to_date(ticks_database: DatabaseResource, feeds: Sequence[str], now: datetime) -> None:
    """Compute what follows from what these feeds have received since the last time."""
    for feed in feeds:
        # A transaction each: it holds up the loader of its feed.
        with ticks_database.transaction() as cursor:
            gaps.update(cursor, feed, now=now)


def gaps_metadata(ticks_database: DatabaseResource, feeds: Sequence[str], now: datetime) -> dict[str, Any]:
    """What the page of `feed_gaps` shows: numbers, the newest gaps, and each feed along time."""
    with ticks_database.transaction() as cursor:
        rows = gap_reports.newest(cursor, feeds, now=now, limit=ROWS)
        totals = gap_reports.totals(cursor, feeds, now=now, since=now - SETTLED)
        pictures = {f"timeline of {feed}": timeline(cursor, feed, now) for feed in feeds}
    settled = {state: total for state, total in totals.items() if state != "open"}
    return {
        "gaps open": totals["open"].gaps if "open" in totals else 0,
        "seconds open": round(totals["open"].seconds, 1) if "open" in totals else 0.0,
        **{f"gaps {state}, 24 hours": total.gaps for state, total in settled.items()},
        "rows repaired, 24 hours": sum(total.rows_repaired for total in settled.values()),
        "newest gaps": dg.MetadataValue.md(_table(rows)),
        **{name: picture for name, picture in pictures.items() if picture is not None},
    }


def _table(rows: list[GapRow]) -> str:
    """The newest gaps, as many as are seen without a click; symbols that have a gap in common share a row."""
    if not rows:
        return "There are no gaps."
    # The column is narrow, and most have one feed.
    has_feeds = len({row.feed for row in rows}) > 1
    lines = [
        f"| from (UTC) | seconds | symbols |{' feed |' if has_feeds else ''} cause | state |",
        f"|---|---:|---|{'---|' if has_feeds else ''}---|---|",
    ]
    together = itertools.groupby(rows, key=lambda row: (row.begins_at, row.feed, row.ends_at, row.cause, row.state))
    for (begins_at, feed, ends_at, cause, state), found in together:
        gaps_of_it = list(found)
        seconds = f"{gaps_of_it[0].seconds:,.1f}" + ("" if ends_at else ", goes on")
        symbols = ", ".join(markdown_cell(row.symbol) for row in gaps_of_it[:SYMBOLS])
        more = f" and {len(gaps_of_it) - SYMBOLS} more" if len(gaps_of_it) > SYMBOLS else ""
        began = f"{begins_at.astimezone(timezone.utc):%m-%d %H:%M:%S}"
        of_feed = f" {markdown_cell(feed)} |" if has_feeds else ""
        line = f"| {began} | {seconds} | {symbols}{more} |{of_feed} {cause} | {state} |"
        if sum(map(len, lines)) + len(lines) + len(line) > LONGEST:
            break
        lines.append(line)
    return "\n".join(lines)


def record(row: GapRow) -> dg.TableRecord:
    """A gap as a row of a table in the UI."""
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
