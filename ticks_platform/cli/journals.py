"""``ticks replay``, ``ticks reload-rejected``: an exported journal, or rejected events, into the database."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import click

from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.reload import reload_rejected as reload_rejected_events
from ticks_platform.ingestion.replay import replay as replay_journal
from ticks_platform.timescale.database import Database


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--feed", help="Load it as this feed. Default: the feed that wrote it.")
def replay(file: Path, feed: str | None) -> None:
    """Load the journal FILE, each event once. The feed has to be disabled meanwhile."""
    settings = load_settings(project() / "feeds.yaml")
    with errors_of_files():
        with journal_view(file) as journal:
            name = feed or journal.feed
        metrics = replay_journal(file, feed=settings.feed(name), database=Database.from_environment())
    echo(
        f"feed {name}: {metrics.frames} frames; {metrics.loaded} events loaded, {metrics.replaced} replaced an earlier "
        f"one, {metrics.duplicate} already there, {metrics.rejected} rejected, {metrics.control} without market data"
    )


@click.command("reload-rejected")
@click.argument("feed")
@click.option("--since", type=click.DateTime(), help="Only what arrived since this moment (UTC). Default: all.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of them.")
def reload_rejected(feed: str, since: datetime | None, dry_run: bool) -> None:
    """Load the rejected events of FEED again, each once. The feed may be ingested meanwhile."""
    settings = load_settings(project() / "feeds.yaml").feed(feed)
    moment = since and since.replace(tzinfo=timezone.utc)
    done = reload_rejected_events(settings, Database.from_environment(), since=moment, dry_run=dry_run)
    click.echo(f"feed {feed}: {done}{'; a dry run: nothing was changed' if dry_run else ''}")


class errors_of_files:  # noqa: N801  (reads like contextlib.suppress)
    """What is wrong with a file is an error of the command."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError | sqlite3.OperationalError):
            raise CommandError(str(error)) from error
