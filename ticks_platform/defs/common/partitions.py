"""Partitions of assets and jobs: feeds and days."""

import dagster as dg

from ticks_platform.feeds.settings import PlatformSettings

DAYS = dg.DailyPartitionsDefinition(start_date="2015-01-01", end_offset=1)
"""Days, UTC, up to today. The first one is the oldest that can be selected for a backfill."""


def feeds_of(settings: PlatformSettings) -> dg.StaticPartitionsDefinition:
    """The feeds of feeds.yaml."""
    return dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds])
