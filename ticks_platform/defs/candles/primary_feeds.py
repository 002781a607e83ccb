"""The job that makes the stored ticks agree with feeds.yaml about which feeds are primary."""

from collections import Counter
from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND, REFRESH_POOL
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.primary import names_of
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.candles import primary_feeds
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.candles.primary_feeds import Disagreement, Feeds

SHOWN = 200
"""Rows of a table in the UI."""


class ApplyConfig(dg.Config):
    """Whether to do it or only to say what would be done."""

    dry_run: bool = Field(default=True, description="Only say which ticks would change.")


def _metadata(found: Sequence[Disagreement], feeds: Feeds) -> dict[str, dg.MetadataValue]:
    ticks: Counter[tuple[str, str, bool]] = Counter()
    days: Counter[tuple[str, str, bool]] = Counter()
    for each in found:
        ticks[each.feed, each.symbol, each.is_secondary] += each.ticks
        days[each.feed, each.symbol, each.is_secondary] += 1
    rows = [
        dg.TableRecord(
            {
                "feed": feed,
                "becomes": "secondary" if is_secondary else "primary",
                "symbol": symbol,
                "ticks": number,
                "days": days[feed, symbol, is_secondary],
            }
        )
        for (feed, symbol, is_secondary), number in ticks.most_common(SHOWN)
    ]
    columns = [dg.TableColumn(name) for name in ("feed", "becomes", "symbol")]
    columns += [dg.TableColumn(name, "int") for name in ("ticks", "days")]
    all_days = sorted({each.day for each in found})
    return {
        "primary feeds": dg.MetadataValue.text(", ".join(feeds.primary) or "none"),
        "secondary feeds": dg.MetadataValue.text(", ".join(feeds.secondary) or "none"),
        "ticks": dg.MetadataValue.int(sum(ticks.values())),
        "symbols": dg.MetadataValue.int(len({symbol for _, symbol, _ in ticks})),
        "days": dg.MetadataValue.int(len(all_days)),
        **(
            {
                "first day": dg.MetadataValue.text(f"{all_days[0]:%Y-%m-%d}"),
                "last day": dg.MetadataValue.text(f"{all_days[-1]:%Y-%m-%d}"),
                "changes": dg.MetadataValue.table(rows, schema=dg.TableSchema(columns)),
            }
            if found
            else {}
        ),
    }


@dg.definitions
def apply_primary_feeds() -> dg.Definitions:
    """The job `apply_primary_feeds`."""
    settings = feed_settings()
    feeds = Feeds(
        primary=[feed.name for feed in settings.feeds if feed.candles],
        secondary=[feed.name for feed in settings.feeds if not feed.candles],
        lists={feed.name: names_of(feed).contains for feed in settings.feeds if feed.candles},
    )

    # An op and not an asset: it changes ticks and three candle assets, deliberately, and tells each of them.
    @dg.op(
        name="mark_secondary_ticks",
        pool=REFRESH_POOL,
        out=dg.Out(dg.Nothing),
        description=(
            "Marks the ticks of secondary feeds and copies by hand, and only those, day by day, and refreshes the "
            "days' candles."
        ),
    )
    def mark(context: dg.OpExecutionContext, config: ApplyConfig, ticks_database: DatabaseResource) -> None:
        """Say what would change, and unless it is a dry run, change it."""
        with ticks_database.transaction() as cursor:
            since = server_clock.now(cursor)
            found = list(primary_feeds.find(cursor, feeds))
            if not found:
                primary_feeds.note_applied(cursor, feeds, since)
        metadata = _metadata(found, feeds)
        context.add_output_metadata({**metadata, "dry run": config.dry_run})
        if not found:
            context.log.info("the stored ticks agree with feeds.yaml: there is nothing to change")
            return
        for name, value in metadata.items():
            if name != "changes":
                context.log.info(f"{name}: {value.value}")
        if config.dry_run:
            context.log.info("a dry run: nothing was changed")
            return
        for day in sorted({each.day for each in found}):
            changed = primary_feeds.apply(ticks_database.database, feeds, day)
            context.log.info(f"{day:%Y-%m-%d}: {changed} ticks changed, candles refreshed")
        for key in ("stocks_real_time", *(candle.name for candle in CANDLES)):
            context.log_event(dg.AssetObservation(asset_key=key, metadata=metadata))
        with ticks_database.transaction() as cursor:
            since = server_clock.now(cursor)
            left = sum(each.ticks for each in primary_feeds.find(cursor, feeds))
            if not left:
                primary_feeds.note_applied(cursor, feeds, since)
        if left:
            raise dg.Failure(
                f"{left} ticks were stored meanwhile by a run with the settings before: run this job again once the "
                "feeds' new runs have taken over"
            )

    @dg.job(
        name="apply_primary_feeds",
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Makes the stored ticks agree with feeds.yaml about which feeds are primary: after `candles: false` was "
            "moved from one feed to another, the candles of all days are made of the other one's ticks. Feeds that are "
            "not in feeds.yaml are left as they are, and so are secondary ticks of symbols that a feed no longer "
            "lists. Rows by hand become secondary where they are copies: in hours in which a feed's ticks make the "
            "candles of their symbol, except in that feed's gaps. A dry run, unless dry_run is set to false in the "
            "launchpad, says how many ticks of which feeds, symbols and days would change."
        ),
    )
    def job() -> None:
        mark()

    return dg.Definitions(jobs=[job])
