"""Which feed and which days a run is about: the partitions of jobs, and what the launchpad asks for."""

import zlib
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import dagster as dg

from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import PlatformSettings


def day_fields() -> dict[str, dg.Field]:
    """The config of an op about days: `first_day`, which is required, and `last_day`.

    Days are no partitions: all days of years would be shown as missing, though nothing has to be done about them.
    """
    return {
        "first_day": dg.Field(str, description="The first day, UTC, such as `2026-03-02`."),
        "last_day": dg.Field(
            dg.Noneable(str), default_value=None, is_required=False, description="The last day; the first one if null."
        ),
    }


def selected_days(config: Mapping[str, Any]) -> list[date]:
    """The days of `day_fields`, oldest first. Raises Failure, which says what to write, when they are none."""
    first = _day("first_day", config["first_day"])
    last = first if config.get("last_day") is None else _day("last_day", config["last_day"])
    if last < first:
        raise dg.Failure(f"last_day {last} is before first_day {first}")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise dg.Failure(f"{name}: {text!r} is no day; write it as 2026-03-02") from None


def midnight(day: date) -> datetime:
    """The begin of a day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def feed_config(settings: PlatformSettings, op: str) -> dg.PartitionedConfig[dg.StaticPartitionsDefinition]:
    """Gives an op the feed that is the partition as its config `feed`: see `feed_field`."""

    def config(feed: str) -> dict[str, object]:
        return {"ops": {op: {"config": {"feed": feed}}}}

    return dg.PartitionedConfig(partitions_def=feeds_of(settings), run_config_for_partition_key_fn=config)


def feed_field(settings: PlatformSettings) -> dg.Field:
    """The config `feed` of a job's op. It is required, so the launchpad asks for it when no partition was selected."""
    # Dagster takes types of one name for one type, also of definitions that were loaded before with other feeds.
    names = "\0".join(feed.name for feed in settings.feeds)
    feeds = dg.Enum(f"Feed_{zlib.crc32(names.encode()):x}", [dg.EnumValue(feed.name) for feed in settings.feeds])
    return dg.Field(feeds, description="The feed. Selecting a partition fills it in.")


def selected_feed(context: dg.OpExecutionContext) -> str:
    """The feed that is the partition of this run. Raises Failure, which says so, when none was selected."""
    if not context.has_partition_key:
        raise dg.Failure(f"job {context.job_name}: select the feed, which is its partition, and launch it again")
    return context.partition_key


def runs_of(settings: PlatformSettings) -> dg.StaticPartitionsDefinition:
    """The runs of ingestion: a group of feeds.yaml, or a feed that is in none."""
    return dg.StaticPartitionsDefinition(list(groups.runs(settings.feeds)))


def feeds_of(settings: PlatformSettings) -> dg.StaticPartitionsDefinition:
    """The feeds of feeds.yaml."""
    return dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds])
