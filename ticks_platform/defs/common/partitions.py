"""Partitions of assets and jobs: feeds and days."""

import dagster as dg

from ticks_platform.feeds.settings import PlatformSettings

DAYS = dg.DailyPartitionsDefinition(start_date="2015-01-01", end_offset=1)
"""Days, UTC, up to today. The first one is the oldest that can be selected for a backfill."""


def feed_config(settings: PlatformSettings, op: str) -> dg.PartitionedConfig[dg.StaticPartitionsDefinition]:
    """Gives an op the feed that is the partition as its config `feed`: see `feed_field`."""

    def config(feed: str) -> dict[str, object]:
        return {"ops": {op: {"config": {"feed": feed}}}}

    return dg.PartitionedConfig(partitions_def=feeds_of(settings), run_config_for_partition_key_fn=config)


def feed_field(settings: PlatformSettings) -> dg.Field:
    """The config `feed` of a job's op. It is required, so the launchpad asks for it when no partition was selected."""
    feeds = dg.Enum("Feed", [dg.EnumValue(feed.name) for feed in settings.feeds])
    return dg.Field(feeds, description="The feed. Selecting a partition fills it in.")


def selected_feed(context: dg.OpExecutionContext) -> str:
    """The feed that is the partition of this run. Raises Failure, which says so, when none was selected."""
    if not context.has_partition_key:
        raise dg.Failure(f"job {context.job_name}: select the feed, which is its partition, and launch it again")
    return context.partition_key


def feeds_of(settings: PlatformSettings) -> dg.StaticPartitionsDefinition:
    """The feeds of feeds.yaml."""
    return dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds])
