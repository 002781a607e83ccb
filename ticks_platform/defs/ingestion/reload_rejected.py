"""The job that loads rejected events again, once their reason is gone."""

from datetime import datetime, timezone

import dagster as dg
from pydantic import Field

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import LONG_BY_HAND
from ticks_platform.defs.common.partitions import feeds_of, selected_feed
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.ingestion import reload


class ReloadConfig(dg.Config):
    """Which rejected events, and whether to load them or only to say what would become of them."""

    dry_run: bool = Field(default=True, description="Only say what would become of them.")
    since: str | None = Field(
        default=None,
        description="Only what arrived since this moment, such as `2026-03-03` or `2026-03-03T14:30` (UTC).",
    )


@dg.definitions
def reload_rejected() -> dg.Definitions:
    """The job `reload_rejected`."""
    settings = feed_settings()

    @dg.op(
        name="load_rejected_events",
        out=dg.Out(dg.Nothing),
        description="Decodes and stores the kept bytes of rejected events once more, each event once.",
    )
    def load(context: dg.OpExecutionContext, config: ReloadConfig, ticks_database: DatabaseResource) -> None:
        """Say what would become of them, and unless it is a dry run, load them."""
        feed = settings.feed(selected_feed(context))
        since = _moment(config.since)
        done = reload.reload_rejected(feed, ticks_database.database, since=since, dry_run=config.dry_run)
        metadata: dict[str, dg.MetadataValue] = {
            "feed": dg.MetadataValue.text(feed.name),
            **{name: dg.MetadataValue.int(number) for name, number in done._asdict().items()},
        }
        context.add_output_metadata({**metadata, "dry run": config.dry_run})
        context.log.info(f"feed '{feed.name}': {done}")
        if config.dry_run:
            context.log.info("a dry run: nothing was changed")
        elif done.read:
            context.log_event(dg.AssetObservation(asset_key="stocks_real_time", metadata=metadata))

    @dg.job(
        name="reload_rejected",
        partitions_def=feeds_of(settings),
        executor_def=one_process,
        tags=LONG_BY_HAND,
        description=(
            "Loads the rejected events of one feed, which is its partition, again: after an upgrade that mends a "
            "connector, when a symbol was added to feeds.yaml, or when the table takes what it refused. Each event is "
            "stored once, also if the job is interrupted or repeated; the feed may be ingested meanwhile. A dry run, "
            "unless dry_run is set to false in the launchpad, says how many would be loaded, are there already, or "
            "would be rejected again."
        ),
    )
    def job() -> None:
        load()

    return dg.Definitions(jobs=[job])


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise dg.Failure(f"since: {text!r} is no moment; write it as 2026-03-03 or 2026-03-03T14:30 (UTC)") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
