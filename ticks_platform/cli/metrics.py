"""``ticks metrics``: the metrics of all feeds for Prometheus."""

from __future__ import annotations

import signal
import threading

import click

from ticks_platform import signals
from ticks_platform.cli.output import echo
from ticks_platform.cli.project import CommandError, project
from ticks_platform.monitoring import exporter
from ticks_platform.timescale.database import Database

DEFAULT_PORT = 9464


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True, help="Port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--once", is_flag=True, help="Print the metrics once, and end.")
def metrics(port: int, host: str, once: bool) -> None:
    """Serve the metrics of all feeds to Prometheus until Ctrl-C or SIGTERM.

    Feeds whose run has ended are among them, and it works while the database is away. The live page serves the same
    at /metrics.
    """
    collector = exporter.AllFeeds(Database.from_environment(), project() / "feeds.yaml")
    if once:
        echo(exporter.text(collector).decode().rstrip())
        return
    ended = threading.Event()
    signals.call_on(ended.set, signal.SIGINT, signal.SIGTERM)
    try:
        stop = exporter.serve(collector, port=port, host=host)
    except OSError as error:
        raise CommandError(f"cannot serve metrics on {host}:{port}: {error.strerror or error}") from None
    echo(f"metrics of all feeds: http://{host}:{port}/metrics")
    ended.wait()
    stop()
