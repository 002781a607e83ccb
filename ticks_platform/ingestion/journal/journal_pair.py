"""A feed's two journals on this machine: in a hand-over, predecessor and successor append to one each."""

from __future__ import annotations

from pathlib import Path

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal.journal_view import journal_view


def journal_pair(path: Path) -> tuple[Path, Path]:
    """The files of a feed's journals, given the first one."""
    # A feed's name has no dot.
    return path, path.with_name(f"{path.stem}.2{path.suffix}")


class JournalPair:
    """A feed's journals. Those that were opened here are closed by `close`."""

    def __init__(self, path: Path, feed: FeedSettings) -> None:
        """`path` is the file of the first journal."""
        self._paths = journal_pair(path)
        self._feed = feed
        self._opened: dict[Path, Journal] = {}

    @property
    def first(self) -> Path:
        """The file of the first journal."""
        return self._paths[0]

    def find(self, journal_id: str) -> Path | None:
        """The file of the journal with this id, or None if it is not on this machine. Raises JournalError."""
        for path in self._paths:
            if path.exists():
                with journal_view(path) as journal:
                    if journal.journal_id == journal_id:
                        return path
        return None

    def open_other(self, path: Path) -> Journal:
        """Open the journal that is not in this file; raises what Journal raises."""
        (other,) = (each for each in self._paths if each != path)
        return self._open(other)

    def open_all(self) -> list[Journal]:
        """Open the existing journals, and the first one in any case; earlier owners can no longer append."""
        return [self._open(path) for path in self._paths if path == self.first or path.exists()]

    def close(self) -> None:
        """Close the opened journals."""
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
