"""``ticks doctor``: what keeps this project from working, each with what to do."""

from __future__ import annotations

import click

from ticks_platform import diagnosis
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import project
from ticks_platform.timescale.database import Database


@click.command()
@click.option("--offline", is_flag=True, help="Connect to no provider.")
@click.option("--port", default=3000, show_default=True, help="Port on which the web UI is to listen.")
@click.pass_context
def doctor(context: click.Context, offline: bool, port: int) -> None:
    """Check database, extension, grants, keys, feeds, disk, clock, port and overrides.

    Each line is `ok`, `note`, or `FIX` with what to do. Exit code 1 when something has to be fixed. A feed that is not
    being ingested is connected to for a few seconds, unless --offline is given.
    """
    worst = 0
    for finding in diagnosis.examine(project(), Database.from_environment(), connect=not offline, ui_port=port):
        echo(f"{finding.level.value:<4}  {finding.subject}: {finding.text}")
        worst = max(worst, int(finding.level is diagnosis.Level.FIX))
    context.exit(worst)
