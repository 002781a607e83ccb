"""What is wrong now: the database, the feeds, the clocks, the database's jobs, disk and journals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ticks_platform.alerts.told import Trouble
from ticks_platform.feeds import settings_watch
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.metrics_export import told_of_copy
from ticks_platform.monitoring import disk, feed_states
from ticks_platform.monitoring.database import UNREACHABLE, DatabaseState, JobState, Watcher
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.failures import in_words

SETTLED = 60.0
"""Seconds for which the database has to be away, a feed silent beyond its limit, a disk full: what comes and goes near
its limit is not told each time."""

CONNECT_GRACE = 120.0
"""Seconds for which a feed has to be without a connection, or without a run that ingests it."""

CHANNEL_GRACE = 300.0
"""Seconds for which a channel has to be silent or not subscribed: it is subscribed to again before that."""

FAILURES = 3
"""Runs in a row of a database's job that have to fail."""

COPY_LATE = 30.0
"""Age in seconds of frames that are neither stored nor copied: a new leader of a stream takes up to eight."""

NEARLY_FULL, FULL = 0.8, 0.98
"""Shares of a journal's limit."""

DATABASE = "database away"
"""The key of that trouble."""

_BY_DATABASE = ("feed ", "clock ", "job ", "database tables")
"""What the keys of troubles begin with that only the database can tell."""


class Seen(NamedTuple):
    """What is wrong now, and which troubles cannot be judged, by their key."""

    troubles: Sequence[Trouble]
    is_unknown: Callable[[str], bool]
    why_over: Callable[[str], str | None] = lambda _key: None
    """Why a trouble is not looked for any more, by its key; None if it is."""


def look(
    watcher: Watcher, database: Database, settings: Sequence[FeedSettings], feeds_file: Path | None = None
) -> Seen:
    """What is wrong now. Raises no error of the database: its absence is a trouble."""
    found = [*_disk(), *_journals(settings), *_copies(settings), *(_settings(feeds_file) if feeds_file else ())]
    try:
        state = watcher.look(database, settings)
    except UNREACHABLE as error:
        cause = in_words(error).rstrip(".")
        text = f"the database cannot be used: {cause}. Feeds continue, and their ticks wait in the journals"
        found.append(Trouble(DATABASE, text, SETTLED, over="the database can be used again"))
        return Seen(found, lambda key: key.startswith(_BY_DATABASE))
    if state is None:
        # bring_up creates them; its failed runs are told.
        return Seen(found, lambda key: key.startswith(_BY_DATABASE))
    return judge(state, found, settings)


def judge(state: DatabaseState, found: Sequence[Trouble], settings: Sequence[FeedSettings]) -> Seen:
    """What the database tells, added to what was found without it."""
    unknown = set(_unknown(state))
    names = {feed.name for feed in settings}
    disabled = {row.feed for row in state.statuses if not row.enabled}
    jobs = {f"job {job.job_id}" for job in state.jobs}

    def why_over(key: str) -> str | None:
        kind, _, rest = key.partition(" ")
        name = rest.partition(" ")[0]
        if kind in ("feed", "clock", "journal", "copy") and name not in names:
            return f"feed {name} is no longer in feeds.yaml; nobody looks any more for: {key}"
        if kind in ("feed", "clock") and name in disabled:
            return f"feed {name} is switched off; nobody looks any more for: {key}"
        if kind == "job" and key not in jobs:
            return f"{key} is no longer run by the database"
        return None

    return Seen([*found, *_feeds(state), *_jobs(state)], unknown.__contains__, why_over)


def _unknown(state: DatabaseState) -> Iterator[str]:
    """Keys of troubles of which nothing is known now: that they are not seen does not mean that they are over."""
    refused = state.refused
    for row in state.statuses:
        if not row.ingesting or row.feed in refused:
            yield from (f"feed {row.feed} {what}" for what in ("away", "channels", "stalled"))
            yield f"clock {row.feed}"
    for silence in state.silences:
        # Its market is closed, or has just opened.
        if not silence.is_stalled and (silence.age is None or silence.age > silence.limit):
            yield f"feed {silence.feed} stalled"


def _feeds(state: DatabaseState) -> Iterator[Trouble]:
    refused = state.refused
    for feed, words in refused.items():
        yield Trouble(f"feed {feed} refused", f"feed {feed}: {words}", over=f"feed {feed} is no longer refused")
    for row in state.statuses:
        if row.enabled and not row.ingesting and row.feed not in refused:
            last = "never" if row.heartbeat_age is None else f"{row.heartbeat_age:.0f} s ago"
            text = f"feed {row.feed} is not being ingested: its run was last heard of {last}"
            over = f"feed {row.feed} is being ingested again"
            yield Trouble(f"feed {row.feed} not ingested", text, CONNECT_GRACE, over=over)
    for each in state.channels:
        missing = feed_states.missing_channels(each)
        if each.feed in refused:
            continue
        if each.away is not None:
            text = f"feed {each.feed} is not connected: {each.away}"
            yield Trouble(f"feed {each.feed} away", text, CONNECT_GRACE, over=f"feed {each.feed} is connected again")
        elif missing is not None:
            names = ", ".join(example["channel"] for example in each.examples)
            text = f"feed {each.feed}: channels that do not stream: {missing} ({names})"
            over = f"feed {each.feed}: every channel streams"
            yield Trouble(f"feed {each.feed} channels", text, CHANNEL_GRACE, warning=True, over=over)
    ingested = {row.feed for row in state.statuses if row.ingesting}
    for silence in state.silences:
        if silence.is_stalled and silence.feed in ingested - refused.keys():
            over = f"feed {silence.feed} sends ticks again"
            yield Trouble(f"feed {silence.feed} stalled", f"feed stalled: {silence.text}", SETTLED, over=over)
    for feed, words in state.clocks.items():
        yield Trouble(f"clock {feed}", words, over=f"the clock of feed {feed}'s machine is right again")


def _jobs(state: DatabaseState) -> Iterator[Trouble]:
    for job in state.jobs:
        if keeps_failing(job):
            text = f"{job.name}: the last {job.failures} runs of job {job.job_id} failed: {job.error or 'no message'}"
            yield Trouble(f"job {job.job_id}", text, over=f"{job.name}: job {job.job_id} succeeds again")


def keeps_failing(job: JobState) -> bool:
    """Whether a job of the database fails again and again."""
    return job.failures >= FAILURES


def _settings(file: Path) -> Iterator[Trouble]:
    for name, error in settings_watch.look(file).errors.items():
        end = "" if error.endswith("?") else "."
        text = f"{error}{end} Feeds that run continue with the settings that they have; no run can begin"
        yield Trouble(f"settings {name}", text, SETTLED, over=f"{name} can be read again")


def _disk() -> Iterator[Trouble]:
    found = disk.disk()
    if found is None:
        return
    where = f"the disk of {found.path}"
    if found.unwritable is not None and not found.is_full:
        text = f"{found.path} cannot be written: {found.unwritable}. Feeds are paused until it can"
        yield Trouble("disk unwritable", text, over=f"{found.path} can be written again")
    if found.is_full or found.is_nearly_full:
        free = f"{found.free >> 20:,} MB of {found.size >> 20:,} MB are free"
        text = f"{where} is full: {free}. Free space on it" if found.is_full else f"{where} is nearly full: {free}"
        yield Trouble("disk full", text, SETTLED, warning=not found.is_full, over=f"{where} has space again")


def _journals(settings: Sequence[FeedSettings]) -> Iterator[Trouble]:
    for journal in disk.journals(settings):
        if journal.share < NEARLY_FULL:
            continue
        full = journal.share >= FULL
        state = "full, and the feed is paused" if full else f"{journal.share * 100:.0f} % full"
        text = (
            f"the journal of feed {journal.feed} is {state}: {journal.used >> 20:,} of {journal.limit >> 20:,} MB wait "
            "for the database. To bridge longer outages, raise journal.max_megabytes in feeds.yaml"
        )
        over = f"the journal of feed {journal.feed} has space again"
        yield Trouble(f"journal {journal.feed}", text, SETTLED, warning=not full, over=over)


def _copies(settings: Sequence[FeedSettings]) -> Iterator[Trouble]:
    for feed in settings:
        copied = told_of_copy(feed.name) if feed.journal.copy_to is not None else None
        if copied is None or (copied.is_up and copied.seconds < COPY_LATE):
            continue
        text = (
            f"feed {feed.name}: {copied}. What is neither is lost if this machine is lost with its disk; the run says "
            "why it is not copied"
        )
        yield Trouble(f"copy {feed.name}", text, SETTLED, over=f"the journal of feed {feed.name} is copied again")
