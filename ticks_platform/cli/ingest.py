"""``ticks ingest``: one feed, or a group of feeds, into the database, without Dagster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Sequence

import click

from ticks_platform import local_feeds, signals
from ticks_platform.backoff import Backoff
from ticks_platform.cli.followed_settings import Followed
from ticks_platform.cli.ingest_group import LOOK_INTERVAL, ended_by, ingest_group
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import project
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import PlatformSettings, load_settings
from ticks_platform.ingestion import lease
from ticks_platform.ingestion.group import Rest
from ticks_platform.ingestion.lease import LeaseLostError
from ticks_platform.ingestion.progress import Progress
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale import ingestion_tables
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

STOPPED, ACTION_REQUIRED, TAKEN_OVER, FAILED = 0, 3, 4, 5
"""Exit codes; 1 is an error of the command itself, 2 a wrong use of it."""

ALIVE_WITHIN = 30.0
"""Seconds since its heartbeat within which another owner counts as being at work."""

REPORT_INTERVAL = 60.0
"""Seconds between lines of progress; the first comes after ten."""


@click.command()
@click.argument("feed")
@click.option(
    "--take-over", is_flag=True, help="Replace the run that ingests FEED now; without a gap if it may overlap."
)
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only.")
@click.pass_context
def ingest(context: click.Context, feed: str, take_over: bool, quiet: bool) -> None:
    """Stream FEED of feeds.yaml, or the feeds of the group FEED, into the database until Ctrl-C or SIGTERM.

    Creates the tables if they are missing; candles and checks are Dagster's. Waits for a database that is away.

    \b
    Exit codes:
      0  stopped by a signal, or the feed was disabled; everything is stored
      3  somebody has to act: a wrong key, setting or database
      4  another run ingests this feed
      5  failed; starting again may help
    """
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    file = project() / "feeds.yaml"
    settings = load_settings(file)
    members = groups.runs(settings.feeds).get(feed, ())
    names = [feed] if any(feed == each.name for each in settings.feeds) else [each.name for each in members]
    chosen = settings.feed(names[0] if names else feed)
    database = Database.from_environment()
    stopping = threading.Event()
    signals.call_on(stopping.set, signal.SIGINT, signal.SIGTERM)
    try:
        held = _prepare(database, names, stopping)
        if names != [feed]:
            _group(context, settings, feed, database, held.values() if take_over else (), stopping)
        held_by = held.get(feed)
        if held_by and not take_over:
            echo(f"ticks: feed {feed} is ingested by {held_by}; --take-over replaces it", err=True)
            context.exit(TAKEN_OVER)
        ingestion = Ingestion(
            feed=chosen,
            connector=local_feeds.connector(settings, chosen),
            database=database,
            owner=_owner(),
            follow=take_over,
        )
        with ingestion:
            _wait(ingestion, stopping, Followed(file, settings, ingestion))
        ingestion.wait(0)
    except LeaseLostError as error:
        echo(f"ticks: {error}", err=True)
        context.exit(TAKEN_OVER)
    except ActionRequiredError as error:
        echo(f"ticks: {error}", err=True)
        context.exit(ACTION_REQUIRED)
    except RetryableError as error:
        echo(f"ticks: {error}", err=True)
        context.exit(FAILED)
    if ingestion.successor is not None:
        echo(f"feed {feed} was handed over to {ingestion.successor}", err=True)
        context.exit(TAKEN_OVER)
    if not stopping.is_set():
        echo(f"feed {feed} is disabled; the job enable_feed enables it", err=True)
    echo(f"feed {feed}: {_line(ingestion.progress())}", err=True)
    context.exit(STOPPED)


def _group(
    context: click.Context,
    settings: PlatformSettings,
    name: str,
    database: Database,
    followed: Collection[str],
    stopping: threading.Event,
) -> None:
    group = ingest_group(
        settings,
        name,
        file=project() / "feeds.yaml",
        database=database,
        owner=_owner(),
        followed=followed,
        stopping=stopping,
        report=lambda stream: _line(stream.progress()),
        report_interval=REPORT_INTERVAL,
    )
    if stopping.is_set():
        echo(f"group {name}: stopped", err=True)
        context.exit(STOPPED)
    echo(f"ticks: no feed of group {name} can stream now: {group.reasons()}", err=True)
    codes = {Rest.FAILED: FAILED, Rest.REFUSED: ACTION_REQUIRED, Rest.HELD: TAKEN_OVER, Rest.HANDED_OVER: TAKEN_OVER}
    ended = ended_by(group)
    context.exit(STOPPED if ended is None else codes[ended])


def _owner() -> str:
    return f"ticks ingest, {socket.gethostname()}, process {os.getpid()}"


def _prepare(database: Database, feeds: Sequence[str], stopping: threading.Event) -> dict[str, str]:
    """Create what is missing, and return who ingests each feed now. Waits for a database that is away."""
    backoff = Backoff(base=0.5, cap=10.0)
    while not stopping.is_set():
        try:
            ingestion_tables.create(database)
            with database.transaction() as cursor:
                held = lease.statuses(cursor, feeds)
        except DatabaseUnavailableError as error:
            delay = backoff.next_delay()
            logging.warning("waiting for the database, trying again in %.1f s: %s", delay, error)
            stopping.wait(delay)
        else:
            return {
                feed: status.owner
                for feed, status in held.items()
                if not status.released and status.age <= ALIVE_WITHIN
            }
    return {}


def _wait(ingestion: Ingestion, stopping: threading.Event, settings: Followed) -> None:
    report_at, look_at = time.monotonic() + 10.0, time.monotonic() + LOOK_INTERVAL
    while not stopping.is_set() and not ingestion.wait(0.25):
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_INTERVAL
            settings.look()
        if time.monotonic() >= report_at:
            report_at = time.monotonic() + REPORT_INTERVAL
            logging.info("feed %s: %s", ingestion.feed.name, _line(ingestion.progress()))


def _line(progress: Progress) -> str:
    trouble = f"; {progress.trouble}" if progress.trouble else ""
    return (
        f"{progress.state.value}, {progress.loaded:,} events loaded, {progress.replaced:,} replaced, "
        f"{progress.duplicate:,} duplicate, {progress.rejected:,} rejected, "
        f"{progress.waiting_bytes:,} bytes waiting{trouble}"
    )
