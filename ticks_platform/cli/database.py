"""``ticks database``: the embedded database, by hand."""

from __future__ import annotations

import os
from pathlib import Path

import click

import embedded_timescale
from embedded_timescale.server import DEFAULT_TCP_PORT
from ticks_platform.cli.project import CommandError, project
from ticks_platform.paths import state_dir


@click.group()
def database() -> None:
    """Start, stop or find the embedded TimescaleDB of this project.

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
        click.echo("stopped" if embedded_timescale.stop(_data_dir()) else "was not running")
    except embedded_timescale.EmbeddedError as error:
        raise CommandError(str(error)) from error


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
