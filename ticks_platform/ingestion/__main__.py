"""``python -m ticks_platform.ingestion``: export a feed's journal, and replay one."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from ticks_platform.feeds.settings import SettingsError, load_settings
from ticks_platform.ingestion.journal.journal import JournalDamagedError, JournalError, JournalUnavailableError
from ticks_platform.ingestion.journal.journal_pair import journal_pair, journal_path
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.lease import LeaseLostError, MixedDatabaseError
from ticks_platform.ingestion.replay import FeedInUseError, export, replay
from ticks_platform.paths import project_root
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

_TROUBLE = (
    SettingsError,
    JournalError,
    JournalDamagedError,
    JournalUnavailableError,
    FeedInUseError,
    MixedDatabaseError,
    LeaseLostError,
    DatabaseUnavailableError,
    OSError,
    sqlite3.OperationalError,
)
"""What a person can do something about; anything else is a bug, and shows itself as one."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code: 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ticks_platform.ingestion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export", help="copy what waits in a feed's journals into a file each")
    exporting.add_argument("feed", help="a feed of feeds.yaml")
    exporting.add_argument("file", type=Path)
    replaying = commands.add_parser("replay", help="load a journal file through the code that loads live frames")
    replaying.add_argument("file", type=Path)
    replaying.add_argument("--feed", help="load it as this feed of feeds.yaml; by default as the one it was made by")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings(project_root() / "feeds.yaml")
        if chosen.command == "export":
            first = journal_path(settings.feed(chosen.feed).name)
            for source, target in zip(journal_pair(first), journal_pair(chosen.file), strict=True):
                # The second one is only there since a hand-over, and then one of the two is empty at most times.
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
    except _TROUBLE as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
