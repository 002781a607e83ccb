"""``ticks database``: the embedded database, by hand, and adopting tables that were there before."""

from __future__ import annotations

import os
from pathlib import Path

import click

import embedded_timescale
from embedded_timescale.server import DEFAULT_TCP_PORT
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.feeds.settings import load_settings
from ticks_platform.paths import state_dir
from ticks_platform.timescale.adoption.adopt import adopt as adopt_tables
from ticks_platform.timescale.adoption.plan import plan
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.requirements import require_timescaledb


@click.group()
def database() -> None:
    """Start, stop or find the embedded TimescaleDB of this project, and adopt tables of a database.

    It starts by itself when it is needed, unless TICKS_DATABASE_URL names another database.
    """


@database.command()
@click.option("--tcp", is_flag=True, help="Also listen on loopback, with a password, for clients without Unix sockets.")
@click.option("--port", type=int, default=DEFAULT_TCP_PORT, show_default=True, help="TCP port for --tcp; 0: any.")
def start(tcp: bool, port: int) -> None:
    """Start it, or join the one that runs, and print its URL."""
    _print_url(tcp_port=port if tcp else None)


@database.command()
def url() -> None:
    """Print its URL for libpq; starts it if it does not run. Example: psql "$(ticks database url)"."""
    _print_url(tcp_port=None)


@database.command()
def stop() -> None:
    """Stop it."""
    try:
        echo("stopped" if embedded_timescale.stop(_data_dir()) else "was not running")
    except embedded_timescale.EmbeddedError as error:
        raise CommandError(str(error)) from error


@database.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--candles",
    type=click.Choice(["rebuild", "keep"]),
    default="rebuild",
    show_default=True,
    help="What becomes of candles that have names of the platform's: made of the ticks, or kept under another name.",
)
@click.pass_context
def adopt(context: click.Context, dry_run: bool, candles: str) -> None:
    """Make the tables of Timescale's tutorial the platform's, with all of their rows.

    For a database that was filled before: stocks_real_time, company, and candles of these names. All of it happens in
    one transaction; what writes ticks has to wait, and continues afterwards.

    Exit code 1 if they cannot be adopted: the message says why and what to do, and nothing was changed.
    """
    settings = load_settings(project() / "feeds.yaml")
    symbols = {symbol for feed in settings.feeds for symbol in feed.asked_symbols()}
    found = Database.from_environment()
    if dry_run:
        with found.transaction() as cursor:
            require_timescaledb(cursor)
            planned = plan(cursor, keep_candles=candles == "keep", symbols=symbols)
            cursor.connection.rollback()
    else:
        planned = adopt_tables(found, keep_candles=candles == "keep", symbols=symbols, say=echo)
    for line in planned.lines(done=not dry_run):
        echo(line)
    context.exit(1 if planned.obstacles else 0)


def _print_url(*, tcp_port: int | None) -> None:
    project()
    if os.environ.get("TICKS_DATABASE_URL"):
        raise CommandError(
            "this project uses the database of TICKS_DATABASE_URL, not the embedded one: unset it, or use it"
        )
    try:
        found = embedded_timescale.ensure_running(_data_dir(), tcp_port=tcp_port)
        click.echo(embedded_timescale.status(_data_dir()).tcp_url or found)
    except embedded_timescale.EmbeddedError as error:
        raise CommandError(str(error)) from error


def _data_dir() -> Path:
    return state_dir() / "timescaledb"
