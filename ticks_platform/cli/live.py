"""``ticks live``: the page with candles that move, in the browser."""

from __future__ import annotations

import os
import socket

import click

from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.live import server
from ticks_platform.timescale.database import Database


@click.command()
@click.option("--port", default=server.DEFAULT_PORT, show_default=True, help="Port on loopback; 0: any.")
@click.option("--fd", type=int, hidden=True, help="A socket of `ticks dev`, which listens already.")
def live(port: int, fd: int | None) -> None:
    """Serve the live page until Ctrl-C or SIGTERM: candles, feeds, gaps, rejected events.

    On loopback alone, and it only reads. `ticks dev` starts it too. If the port is taken, the next one that is free is
    used; the last line says which.
    """
    root = project()
    if fd is not None:
        server.serve(socket.socket(fileno=fd), Database.from_environment(), root, parent=os.getppid())
        return
    with listen(port) as listening:
        echo(f"live page: {server.address(listening)}")
        server.serve(listening, Database.from_environment(), root)


def listen(port: int) -> socket.socket:
    """A socket for the page, at the port or the next one that is free, which is then said."""
    try:
        listening = server.listen(port)
    except (OSError, OverflowError) as error:
        raise CommandError(f"the live page finds no port on loopback: {error}") from None
    found = listening.getsockname()[1]
    if port not in (0, found):
        echo(f"port {port} is taken; the live page uses {found}", err=True)
    return listening
