"""``python -m ticks_platform.ingestion``: exports a feed's journals, and replays a journal file."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.replay import export, replay
from ticks_platform.paths import journal_path, project_root
from ticks_platform.timescale.database import Database

_MESSAGES = (TicksPlatformError, OSError, sqlite3.OperationalError)
"""Errors that are printed as a message; any other is a bug, and raised."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code: 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ticks_platform.ingestion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export", help="copy a feed's journals; the second one to FILE's name with .2")
    exporting.add_argument("feed", help="a feed of feeds.yaml")
    exporting.add_argument("file", type=Path)
    replaying = commands.add_parser("replay", help="load a journal file; frames that are already loaded are skipped")
    replaying.add_argument("file", type=Path)
    replaying.add_argument("--feed", help="a feed of feeds.yaml to load it as (default: the feed that it belongs to)")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings(project_root() / "feeds.yaml")
        if chosen.command == "export":
            first = journal_path(settings.feed(chosen.feed).name)
            for source, target in zip(journal_pair(first), journal_pair(chosen.file), strict=True):
                # The second journal exists since the first planned hand-over only.
                if source == first or source.exists():
                    print(f"{target}: {export(source, target)} frames")
        else:
            with journal_view(chosen.file) as journal:
                name = chosen.feed or journal.feed
            metrics = replay(chosen.file, feed=settings.feed(name), database=Database.from_environment())
            print(
                f"feed {name}: {metrics.frames} frames; {metrics.loaded} ticks loaded, {metrics.rejected} events "
                f"rejected, {metrics.control} without market data"
            )
    except _MESSAGES as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    print("`python -m ticks_platform.ingestion` is now `ticks export` and `ticks replay`", file=sys.stderr)
    sys.exit(main())
