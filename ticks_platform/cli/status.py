"""``ticks status``: how the feeds are."""

from __future__ import annotations

import json
from typing import Any

import click

from ticks_platform.alerts import delivery
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.feeds.settings import SettingsError, load_settings
from ticks_platform.ingestion import status as feed_status
from ticks_platform.paths import running_dev
from ticks_platform.timescale import tables
from ticks_platform.timescale.adoption.relations import require_own_tables
from ticks_platform.timescale.database import Database


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show each feed: its run, its last tick, its account, its open gaps.

    Exit code 0 when every feed that is enabled is being ingested, 1 otherwise. Where feeds.yaml cannot be read, that is
    said, and the feeds are those that the database knows as enabled: they go on with what the file said before.
    """
    groups: dict[str, str | None] | None = None
    problem: SettingsError | None = None
    try:
        groups = {feed.name: feed.group for feed in load_settings(project() / "feeds.yaml").feeds}
    except SettingsError as error:
        problem = error
    database = Database.from_environment()
    with database.transaction() as cursor:
        if tables.missing(cursor, feed_status.TABLES):
            if problem is not None:
                raise problem
            require_own_tables(cursor)
            running = running_dev()
            remedy = "`ticks dev` or `ticks ingest` create them"
            if running is not None:
                remedy = f"`ticks dev`, which runs as {running}, creates them in its first minute"
            raise CommandError(f"{database.description} has no tables yet: {remedy}")
        if groups is None:
            groups = dict.fromkeys(feed_status.enabled(cursor))
        found = feed_status.feeds(cursor, list(groups))
    if problem is not None:
        echo(problem, err=True)
        echo("the feeds are those that the database knows as enabled", err=True)
    undelivered = delivery.trouble()
    if undelivered is not None:
        echo(undelivered, err=True)
    if as_json:
        records: list[dict[str, Any]] = [{**each.record(), "group": groups[each.feed]} for each in found]
        echo(json.dumps({"database": database.description, "feeds": records}, indent=2, default=str))
    else:
        echo(f"database: {database.description}")
        for each in found:
            group = groups[each.feed]
            echo(f"{each.feed}{f' (group {group})' if group else ''}: {each.summary()}")
    context.exit(0 if all(each.is_well for each in found) else 1)
