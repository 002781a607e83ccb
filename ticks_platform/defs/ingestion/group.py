"""The run of a group: several feeds in one process. What happens to one of them: `ticks_platform.ingestion.group`."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import dagster as dg

from ticks_platform import env_file
from ticks_platform.defs.common.resources import IngestionResource
from ticks_platform.defs.common.runs import IN_FLIGHT
from ticks_platform.defs.ingestion.beside import ask_for_successor, attempt, finished_by_somebody_else, say
from ticks_platform.defs.ingestion.progress import GroupReporter
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.settings_watch import only
from ticks_platform.ingestion.group import Group, Owner, Rest
from ticks_platform.paths import changed_at


class GroupRefusedError(ActionRequiredError):
    """No feed of a group can stream until somebody changes a setting, or enables one."""

    def __init__(self, message: str, feeds: Sequence[str]) -> None:
        super().__init__(message)
        self.feeds = tuple(feeds)
        """Those that were refused."""


class GroupEndedError(RetryableError):
    """No feed of a group can stream now, at least one because its ingestion failed."""


class Intervals(NamedTuple):
    """Seconds."""

    first_report: float
    report: float
    fence: float
    """Between looks at whether this run was declared finished, or its settings have changed."""


def stream_group(
    context: dg.OpExecutionContext,
    ticks_ingestion: IngestionResource,
    name: str,
    feeds: Sequence[str],
    *,
    intervals: Intervals,
) -> None:
    """Stream these feeds until the run is terminated, or none of them can stream.

    Raises GroupRefusedError, GroupEndedError and SettingsError.
    """
    settings = ticks_ingestion.group(feeds)
    began = time.monotonic()
    reporter = GroupReporter(context, name)
    report_at, fence_at = began + intervals.first_report, began + intervals.fence
    has_asked = False
    watch = ticks_ingestion.watch(
        partial(say, context), meanwhile=f"The feeds of group '{name}' continue with the settings that they have."
    )

    def whose(owner: str) -> Owner:
        run = context.instance.get_run_by_id(owner)
        if run is None:
            return Owner.OTHER
        return Owner.HANDS_OVER if run.status in IN_FLIGHT else Owner.ENDED

    group = Group(
        settings.feeds,
        database=ticks_ingestion.database.database,
        ingestion=lambda feed, follow: ticks_ingestion.ingestion(settings, feed, owner=context.run_id, follow=follow),
        owner=context.run_id,
        whose=lambda owner: attempt(context, f"see who {owner} is", whose, owner) or Owner.OTHER,
        say=lambda level, message: say(context, level, message),
        corrected_at=lambda: changed_at(ticks_ingestion.feeds_file, env_file.path()),
    )
    with group:
        attempt(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
        # This thread only waits: Dagster interrupts it, which has no effect in the middle of a database call.
        while group.look():
            time.sleep(0.25)
            now = time.monotonic()
            if now >= report_at:
                report_at = now + intervals.report
                attempt(context, "report its progress", reporter.report, group)
            if now >= fence_at:
                fence_at = now + intervals.fence
                if attempt(context, "see whether it was declared finished", finished_by_somebody_else, context):
                    say(context, logging.WARNING, "this run was declared finished from outside; it stops now")
                    return
                read = watch.read()
                current = settings if read is None else only(read, feeds)
                if current.stand_in != settings.stand_in:
                    has_asked = has_asked or ask_for_successor(context, f"group '{name}'")
                elif current.feeds != settings.feeds:
                    group.apply(current.feeds)
                    attempt(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
                    settings = current
        attempt(context, "report its progress", reporter.report, group)
        _say_why(context, name, group)


def _say_why(context: dg.OpExecutionContext, name: str, group: Group) -> None:
    members = list(group.members.values())
    why = f"no feed of group '{name}' can stream now: {group.reasons() or 'none of them is in feeds.yaml any more'}"
    if any(member.rest is Rest.FAILED for member in members):
        raise GroupEndedError(why)
    refused = [member.name for member in members if member.rest is Rest.REFUSED]
    if refused:
        raise GroupRefusedError(why, refused)
    say(context, logging.INFO, why)
