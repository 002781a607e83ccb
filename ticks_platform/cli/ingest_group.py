"""`ticks ingest GROUP`: all feeds of a group in one process, without Dagster."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from ticks_platform import env_file, local_feeds
from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings
from ticks_platform.feeds.settings_watch import SettingsWatch, only
from ticks_platform.ingestion.group import Group, Owner, Rest
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.paths import changed_at
from ticks_platform.timescale.database import Database

LOOK_INTERVAL = 5.0
"""Seconds between looks at feeds.yaml."""


def ingest_group(
    settings: PlatformSettings,
    name: str,
    *,
    file: Path,
    database: Database,
    owner: str,
    followed: Collection[str],
    stopping: threading.Event,
    report: Callable[[Ingestion], str],
    report_interval: float,
) -> Group:
    """Stream the feeds of a group until `stopping` is set, or none of them can stream. `followed` are the owners to
    take feeds over from."""

    def ingestion(feed: FeedSettings, follow: bool) -> Ingestion:
        connector = local_feeds.connector(settings, feed)
        return Ingestion(feed=feed, connector=connector, database=database, owner=owner, follow=follow)

    feeds = groups.runs(settings.feeds)[name]
    names = [feed.name for feed in feeds]
    meanwhile = f"The feeds of group {name} continue with the settings that they have."
    watch = SettingsWatch(file, logging.log, meanwhile=meanwhile)
    group = Group(
        feeds,
        database=database,
        ingestion=ingestion,
        owner=owner,
        whose=lambda other: Owner.HANDS_OVER if other in followed else Owner.OTHER,
        say=logging.log,
        corrected_at=lambda: changed_at(file, env_file.path()),
    )
    with group:
        now = time.monotonic()
        report_at, look_at = now + 10.0, now + LOOK_INTERVAL
        while group.look() and not stopping.wait(0.25):
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_INTERVAL
                read = watch.read()
                if read is not None:
                    group.apply(only(read, names).feeds)
            if now >= report_at:
                report_at = now + report_interval
                for stream in group.streams:
                    logging.info("feed %s: %s", stream.feed.name, report(stream))
    return group


def ended_by(group: Group) -> Rest | None:
    """Why no feed of a group streams; of several reasons, the one about which somebody can do something."""
    found = {member.rest for member in group.members.values()}
    order = (Rest.FAILED, Rest.REFUSED, Rest.HELD, Rest.HANDED_OVER)
    return next((rest for rest in order if rest in found), None)
