"""The journals of a feed on this machine: two, so that a successor has one while its predecessor has the other."""

from __future__ import annotations

from pathlib import Path

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.paths import state_dir


def journal_path(feed: str) -> Path:
    """Where a feed's first journal is, in the state folder."""
    return state_dir() / "journal" / f"{feed}.sqlite3"


def journal_pair(path: Path) -> tuple[Path, Path]:
    """The files of a feed's journals, given the first one."""
    # The name of a feed has no dot.
    return path, path.with_name(f"{path.stem}.2{path.suffix}")


class JournalPair:
    """A feed's journals, of which this owner has opened one or both."""

    def __init__(self, path: Path, feed: FeedSettings) -> None:
        self._paths = journal_pair(path)
        self._feed = feed
        self._opened: dict[Path, Journal] = {}

    def find(self, journal_id: str) -> Path | None:
        """The file of this journal, or None when it is not here. Raises JournalError."""
        for path in self._paths:
            if path.exists():
                with journal_view(path) as journal:
                    if journal.journal_id == journal_id:
                        return path
        return None

    @property
    def first(self) -> Path:
        """The file of the first one."""
        return self._paths[0]

    def open_beside(self, path: Path) -> Journal:
        """Open the one that is not this one; raises what opening a Journal raises."""
        (other,) = (each for each in self._paths if each != path)
        return self._open(other)

    def open_all(self) -> list[Journal]:
        """Open those that there are, and the first one in any case; whoever has appended to them is fenced off."""
        return [self._open(path) for path in self._paths if path == self.first or path.exists()]

    def close(self) -> None:
        """Close those that were opened."""
        for journal in self._opened.values():
            journal.close()

    def _open(self, path: Path) -> Journal:
        if path not in self._opened:
            self._opened[path] = Journal(
                path,
                feed=self._feed.name,
                synthetic=self._feed.synthetic,
                max_bytes=self._feed.journal.max_megabytes << 20,
                sync_interval=self._feed.journal.sync_milliseconds / 1000,
            )
        return self._opened[path]
