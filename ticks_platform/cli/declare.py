"""``ticks declare``: what is gone, so that the account balances again."""

from __future__ import annotations

import getpass
import socket
from datetime import datetime

import click

from ticks_platform.cli.output import echo
from ticks_platform.cli.project import project
from ticks_platform.ingestion import heard_journals
from ticks_platform.timescale import gone as rows_gone
from ticks_platform.timescale.database import Database


@click.group()
def declare() -> None:
    """Declare what is gone for good, so that the checks of the account are about the rest."""


_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"])

_reason = click.option("--reason", required=True, help="Why; it is kept in the database.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be declared.")


@declare.command()
@click.argument("table", type=click.Choice(list(rows_gone.TIME_COLUMNS)))
@click.option("--from", "since", type=_TIME, help="UTC, of whole hours. Default: all.")
@click.option("--to", "until", type=_TIME, help="UTC, of whole hours. Default: all.")
@_reason
@_dry_run
def gone(table: str, since: datetime | None, until: datetime | None, reason: str, dry_run: bool) -> None:
    """Declare that rows of TABLE are gone: dropped, truncated, deleted, or not in the backup.

    Their number is what the account has and the table has not, by whole hours; rows that are there stay. What
    retention dropped needs no declaration. If rows are there again, declare once more: then they count again. Ticks
    that were changed count as they are from then on.
    """
    project()
    with Database.from_environment().transaction() as cursor:
        if dry_run:
            found = rows_gone.find(cursor, table, since=since, until=until)
        else:
            found = rows_gone.declare(cursor, table, since=since, until=until, declared_by=_who(), reason=reason)
    for line in found.lines(done=not dry_run):
        echo(line)


@declare.command()
@click.argument("journal")
@_reason
@_dry_run
def lost(journal: str, reason: str, dry_run: bool) -> None:
    """Declare that JOURNAL is lost with its machine, and with the frames that wait in it.

    JOURNAL is its id, as the check ledger_balances says. If it is heard of again, its frames are loaded and count.
    """
    project()
    with Database.from_environment().transaction() as cursor:
        found = heard_journals.find(cursor, journal)
        if not dry_run:
            heard_journals.declare_lost(cursor, journal, declared_by=_who(), reason=reason)
    echo(found.declared(done=not dry_run))


def _who() -> str:
    return f"{getpass.getuser()} on {socket.gethostname()}"
