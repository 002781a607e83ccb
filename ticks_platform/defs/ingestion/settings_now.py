"""Feeds.yaml and .env as a run that begins now would read them: where it would fail, none is launched."""

from collections.abc import Callable, Collection
from pathlib import Path

from ticks_platform.feeds.settings_watch import SettingsWatch


class SettingsNow:
    """What can begin with the present files. It says once on the terminal what is wrong with them."""

    def __init__(self, file: Path, say: Callable[[int, str], object]) -> None:
        """`say` gets a level of `logging` and a message."""
        self._watch = SettingsWatch(file, say, meanwhile="No run of a feed is launched until it can be read.")
        self._file = file

    def look(self) -> Callable[[Collection[str]], str | None]:
        """What keeps a run of these feeds from beginning, in words; None if nothing does. Each look reads the files
        once, when it is first asked, since they are needed only where a run is to be launched."""
        read: list[tuple[frozenset[str] | None, str | None]] = []

        def obstacle(feeds: Collection[str]) -> str | None:
            if not read:
                settings = self._watch.read()
                names = None if settings is None else frozenset(feed.name for feed in settings.feeds)
                read.append((names, next(iter(self._watch.errors.values()), None)))
            names, error = read[0]
            if error is not None:
                return f"no run can begin until this is corrected: {error}"
            if names is not None and names.isdisjoint(feeds):
                return f"no longer in {self._file.name}; reload the code location to be rid of it here"
            return None

        return obstacle
