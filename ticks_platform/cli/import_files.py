"""``ticks import``: files of past data into the database."""

from __future__ import annotations

import os
import signal
import socket
import threading
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import click

from ticks_platform import signals
from ticks_platform.cli.journals import errors_of_files
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.feeds import csv_rows, file_formats
from ticks_platform.feeds.files import KINDS, Kind
from ticks_platform.feeds.settings import FeedSettings, load_settings
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.options import Imported, Options
from ticks_platform.ingestion.imports.progress import reported
from ticks_platform.ingestion.imports.settle import Settled, rejected_reasons, settle
from ticks_platform.timescale import ingestion_tables
from ticks_platform.timescale.database import Database

REPORT_INTERVAL = 5.0
"""Seconds between lines of progress."""

INTERRUPTED = 130
"""Exit code after a signal, as of a shell."""


@click.command("import")
@click.argument(
    "files", metavar="FILES…", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--format", "format_", type=click.Choice(file_formats.NAMES), required=True, help="What the files are.")
@click.option("--kind", type=click.Choice(KINDS), help="What the rows of csv or parquet are. Default: trades.")
@click.option("--feed", help="The feed of feeds.yaml whose ticks they are. Default: the only one that fits.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    help=f"The column of a field, where a file of csv or parquet names it otherwise: {', '.join(csv_rows.FIELDS)}.",
)
@click.option(
    "--times",
    type=click.Choice(csv_rows.TIMES),
    default="iso",
    show_default=True,
    help="What times of csv or parquet are.",
)
@click.option(
    "--covers",
    nargs=2,
    type=click.DateTime(),
    help="The time (UTC) of which files of csv or parquet have everything: gaps in it are closed. Default: none.",
)
@click.option("--synthetic", is_flag=True, help="The ticks are made up, and go to a feed of the stand-in.")
@click.pass_context
def import_(
    context: click.Context,
    files: tuple[Path, ...],
    format_: str,
    kind: Kind | None,
    feed: str | None,
    columns: tuple[str, ...],
    times: str,
    covers: tuple[datetime, datetime] | None,
    synthetic: bool,
) -> None:
    """Load FILES of past trades, quotes or minute bars, plain or packed by gzip, each row once.

    The feed may be ingested meanwhile. After an interruption of any kind, the same command goes on where it was. Rows
    of symbols that the feed does not have are left out; rows that cannot be read are in rejected_event, with file and
    line. At the end, the candles of the days are refreshed, and the gaps that the files fill are closed.
    """
    options = Options(format_, _mapping(columns), times, synthetic, kind)
    settings = _feed(feed, options)
    database = Database.from_environment()
    ingestion_tables.create(database)
    owner = f"ticks import, {socket.gethostname()}, process {os.getpid()}"
    importing = Import(feed=settings, database=database, owner=owner, options=options)
    stopping = threading.Event()

    def stop() -> None:
        stopping.set()
        importing.stop()

    signals.call_on(stop, signal.SIGINT, signal.SIGTERM)
    with errors_of_files(), reported(importing.progress, partial(echo, err=True), interval=REPORT_INTERVAL):
        imported = importing.run(files, done=lambda file: echo(_result(file, settings.name), err=True))
    if any(file.metrics.rejected for file in imported):
        for reason in rejected_reasons(database, imported):
            echo(f"  {reason}", err=True)
    covered = covers and (covers[0].replace(tzinfo=timezone.utc), covers[1].replace(tzinfo=timezone.utc))
    done = Settled()
    if not stopping.is_set():
        done = settle(
            database,
            settings,
            owner=owner,
            covers=covered or None,
            imported=[file.journal_id for file in imported],
            stopping=stopping,
        )
    # What is settled is, also if a signal came meanwhile.
    if stopping.is_set() and not done.files:
        echo("ticks: interrupted; the same command goes on where it was", err=True)
        context.exit(INTERRUPTED)
    echo(f"feed {settings.name}: candles of {done.days} days refreshed, {done.gaps} gaps closed", err=True)
    if done.left:
        echo(
            f"feed {settings.name}: candles of {done.left} days stay as they are: retention has dropped ticks of them, "
            "without which they would be other ones",
            err=True,
        )


def _mapping(columns: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in columns:
        field, equals, column = each.partition("=")
        if not equals or not field or not column:
            raise click.UsageError(f"--column takes FIELD=COLUMN, not {each}")
        if field in found:
            raise click.UsageError(f"--column names the column of {field} twice")
        found[field] = column
    return found


def _feed(name: str | None, options: Options) -> FeedSettings:
    settings = load_settings(project() / "feeds.yaml")
    if name is not None:
        return settings.feed(name)
    of_format = [
        feed for feed in settings.feeds if options.format != file_formats.POLYGON or feed.provider == "polygon"
    ]
    if not of_format:
        raise CommandError(f"no feed of feeds.yaml has provider polygon, whose files --format {options.format} reads")
    fitting = [feed for feed in of_format if feed.synthetic == options.synthetic]
    if not fitting:
        names = ", ".join(feed.name for feed in of_format)
        if options.synthetic:
            raise CommandError(f"no feed of feeds.yaml has synthetic ticks (there are: {names}): leave out --synthetic")
        raise CommandError(
            f"the feeds of feeds.yaml have synthetic ticks of the stand-in ({names}), and files have live ones: "
            "--synthetic says that they are made up; else add a feed with live ticks, with a database of its own"
        )
    if len(fitting) > 1:
        raise CommandError(
            f"{len(fitting)} feeds of feeds.yaml fit ({', '.join(feed.name for feed in fitting)}): "
            "say whose ticks the files have with --feed"
        )
    return fitting[0]


def _result(file: Imported, feed: str) -> str:
    if file.was_known:
        return f"{file.file.name}: imported already"
    metrics = file.metrics
    return (
        f"{file.file.name}: {metrics.loaded:,} rows loaded, {metrics.duplicate:,} known, {metrics.rejected:,} rejected"
        f"{'' if metrics.loaded + metrics.duplicate + metrics.rejected else f': no rows of the symbols of feed {feed}'}"
        f"{'' if file.is_complete else '; not to its end'}"
    )
