"""Repair of gaps from the providers' histories, by itself after a reconnect."""

from datetime import timedelta
from typing import Any

import dagster as dg

from ticks_platform.defs.common.labels import KINDS, LIVE, OWNERS, REFRESH_POOL, as_in_sync, defined_in
from ticks_platform.defs.common.partitions import feeds_of
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.defs.gaps import proof
from ticks_platform.defs.gaps.feed_gaps import gaps_metadata
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import past, repair
from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles import late_ticks, reconciliation
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR

RUN_SECONDS = 1500.0
"""How long a run asks a provider; the next one continues."""

COMPARED = timedelta(hours=2)
"""How far back candles are compared with their ticks after a repair; older hours only if they changed."""


def no_history(feed: FeedSettings) -> str:
    """Why nothing of this feed can be fetched."""
    return f"provider {feed.provider} offers no history of what this feed streams"


def fetch(
    context: dg.OpExecutionContext,
    ticks_database: DatabaseResource,
    feed: FeedSettings,
    history: History | None,
    intervals: list[SymbolInterval],
) -> None:
    """Request these intervals, and the open gaps, within the feed's budget. Raises Failure in words."""
    if history is None:
        reason = no_history(feed)
        with ticks_database.transaction() as cursor:
            given_up = repair_gaps.give_up_all(cursor, feed.name, reason)
        context.log.info(f"feed '{feed.name}': {reason}; {given_up} gaps cannot be repaired")
        return
    if not feed.repair.enabled:
        context.log.info(f"feed '{feed.name}': repair is switched off in feeds.yaml (repair.enabled)")
        return
    try:
        report = repair.Repair(feed=feed, history=history, database=ticks_database.database, owner=context.run_id).run(
            seconds=RUN_SECONDS, intervals=intervals
        )
    except (ActionRequiredError, RetryableError) as error:
        raise dg.Failure(f"feed '{feed.name}': {error}") from error
    context.log.info(
        f"feed '{feed.name}': {report.requests} requests; rows: {report.loaded} new, {report.replaced} replaced, "
        f"{report.duplicate} duplicate, {report.rejected} rejected; {report.left} ranges left"
        + (f", the next request in {report.wait_seconds:.0f} s" if report.wait_seconds else "")
        + (
            f"; {report.given_up} gaps cannot be repaired, since the provider's history does not reach them"
            if report.given_up
            else ""
        )
    )


def history_of(ticks_ingestion: IngestionResource, feed: FeedSettings) -> History | None:
    """What the feed's provider offers, None where that is nothing. Raises Failure where a setting is missing."""
    try:
        return ticks_ingestion.history(feed)
    except SettingsError as error:
        raise dg.Failure(str(error)) from error


@dg.op(
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description=(
        "Requests the open gaps of a feed that are old enough from the provider's history, within its budget, and "
        "loads the answers: each page once, whatever ends the run in between."
    ),
)
def fetch_gaps(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """What a run does not finish, the next one continues."""
    feed = ticks_ingestion.settings(context.partition_key).feeds[0]
    fetch(context, ticks_database, feed, history_of(ticks_ingestion, feed), [])


@dg.op(
    pool=REFRESH_POOL,
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description=(
        "Refreshes the candles, in every level, of the days whose trades were fetched, compares those of the changed "
        "hours with their ticks, and closes the gaps that are repaired or cannot be repaired."
    ),
)
def settle_gaps(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """Close the gaps once the candles agree with their ticks."""
    settle(context, ticks_database, ticks_ingestion, context.partition_key)


def settle(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource, name: str
) -> None:
    """Refresh what was fetched of this feed, close its gaps, and show both."""
    feed = ticks_ingestion.settings(name).feeds[0]
    history = history_of(ticks_ingestion, feed)
    feeds = ticks_ingestion.feeds()
    context.add_output_metadata(_settle(ticks_database, feed, history, feeds) if history is not None else {})
    _show_gaps(context, ticks_database, feeds)


def _show_gaps(context: dg.OpExecutionContext, ticks_database: DatabaseResource, feeds: list[str]) -> None:
    """The page of `feed_gaps` shows what the repair made of them, before the next run of keep_gaps."""
    with ticks_database.transaction() as cursor:
        now = server_clock.now(cursor)
    metadata = gaps_metadata(ticks_database, feeds, now)
    calendar = context.instance.get_latest_materialization_event(dg.AssetKey("market_calendar"))
    made = calendar.asset_materialization if calendar is not None else None
    version = (made.tags or {}).get("dagster/data_version", "") if made is not None else ""
    sources = {"stocks_real_time": LIVE.value, "one_minute_candle": LIVE.value, "market_calendar": version}
    context.log_event(dg.AssetMaterialization("feed_gaps", metadata=metadata, tags=as_in_sync(sources)))


def _settle(ticks_database: DatabaseResource, feed: FeedSettings, history: History, feeds: list[str]) -> dict[str, Any]:
    with ticks_database.autocommit() as cursor:
        days = repair_gaps.days_to_refresh(cursor, feed.name)
        has_past = past.is_loaded(cursor, feed.name)
        for begin, end in days:
            late_ticks.refresh_days(cursor, begin, end)
        results = [reconciliation.reconcile(cursor, window=COMPARED)] if days else []
        results += [reconciliation.reconcile_levels(cursor, candle) for candle in (ONE_HOUR, ONE_DAY) if days]
    if has_past:
        # Nobody waits for what a gap has changed as for the first hours: that is proven by the next checks.
        proof.prove(ticks_database, feeds)
    compared = sum(result.found.candles for result in results)
    differing = sum(result.left.differing for result in results)
    with ticks_database.transaction() as cursor:
        settled = repair_gaps.close_gaps(cursor, feed.name, history)
        totals = repair_gaps.totals(cursor, feed.name)
    return {
        "gaps repaired": settled.repaired,
        "gaps unrepairable": settled.unrepairable,
        "gaps left open": settled.left,
        "rows in repaired gaps": settled.rows,
        "days refreshed": len(days),
        "candles compared": compared,
        "candles that differ from their ticks": differing,
        "requests in the last 24 hours": totals.requests,
        "ranges left": totals.left,
        **({"last trouble": totals.trouble} if totals.trouble else {}),
    }


@dg.definitions
def gap_repair() -> dg.Definitions:
    """The asset `gap_repair`, a partition for each feed."""

    @dg.graph_asset(
        name="gap_repair",
        ins={"gaps": dg.AssetIn("feed_gaps", dagster_type=dg.Nothing)},
        partitions_def=feeds_of(feed_settings()),
        group_name="repair",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/feed_repair.sql"),
        description=(
            "The gaps of a feed, fetched from its provider by REST: trades become ticks, as if they had been received; "
            "where a provider has no ticks, its bars of a minute go to stock_aggregates. The sensor repair_gaps does "
            "it by itself. What is to be fetched, was fetched and was spent is in ticks_platform.feed_repair and "
            "feed_repair_request."
        ),
    )
    def asset(gaps: Any) -> Any:
        return settle_gaps(start=fetch_gaps(start=gaps))

    return dg.Definitions(assets=[asset])
