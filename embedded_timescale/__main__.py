"""``python -m embedded_timescale``: start, stop and inspect an embedded TimescaleDB."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from embedded_timescale.errors import EmbeddedError
from embedded_timescale.paths import default_data_dir
from embedded_timescale.server import DEFAULT_TCP_PORT, ensure_running, status, stop


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for an error, 3 if ``status`` finds no server."""
    chosen = _parser().parse_args(arguments)
    data_dir: Path = chosen.data_dir
    try:
        if chosen.command == "start":
            ensure_running(data_dir, tcp_port=chosen.tcp)
            return _print_status(data_dir)
        if chosen.command == "stop":
            print("stopped" if stop(data_dir) else "was not running")
            return 0
        if chosen.command == "status":
            return _print_status(data_dir)
        url = ensure_running(data_dir)
        print(status(data_dir).tcp_url or url)
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _print_status(data_dir: Path) -> int:
    found = status(data_dir)
    if not found.running:
        print(f"not running: {found.data_dir}")
        return 3
    work = f"{found.clients} clients, {found.waiting} of them waiting"
    if found.version is None:
        work = "busy with a statement"
    print(f"running: TimescaleDB {found.version or ''}, process {found.pid}, {work}")
    print(f"data: {found.data_dir}\nurl: {found.url}")
    if found.tcp_url:
        print(f"tcp: {found.tcp_url}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m embedded_timescale", description="Start, stop and inspect an embedded TimescaleDB."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "start": "start the server unless it is running, and show its status",
        "stop": "stop the server",
        "status": "show whether it is running, and its URLs",
        "psql-url": 'print a URL for psql (psql "$(... psql-url)"); starts the server if needed',
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--data-dir", type=Path, default=default_data_dir(), help="data directory (default: %(default)s)"
        )
        if name == "start":
            command.add_argument(
                "--tcp",
                metavar="PORT",
                type=int,
                nargs="?",
                const=DEFAULT_TCP_PORT,
                help="also listen on this TCP port, on loopback and with a password (default: %(const)s; 0: any)",
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
