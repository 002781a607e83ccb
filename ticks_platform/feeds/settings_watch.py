"""feeds.yaml and .env while something runs by what they said: read again, and told where they cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from ticks_platform import env_file
from ticks_platform.env_file import EnvFileError
from ticks_platform.feeds.settings import PlatformSettings, SettingsError, load_settings


class Look(NamedTuple):
    """What a look at the files has found."""

    settings: PlatformSettings | None
    """What feeds.yaml says; None if it cannot be read."""
    errors: dict[str, str]
    """What is wrong, by the name of the file."""


def look(file: Path) -> Look:
    """Read feeds.yaml, which is `file`, and the .env of the project."""
    settings: PlatformSettings | None = None
    errors = {}
    try:
        env_file.read()
    except EnvFileError as error:
        errors[env_file.path().name] = str(error)
    try:
        settings = load_settings(file)
    except SettingsError as error:
        errors[file.name] = str(error)
    return Look(settings, errors)


def only(settings: PlatformSettings, feeds: Collection[str]) -> PlatformSettings:
    """These settings with those of these feeds that they have."""
    return settings.model_copy(update={"feeds": tuple(feed for feed in settings.feeds if feed.name in feeds)})


class SettingsWatch:
    """Looks at the files again and again, and says once of each error what is wrong, and when it is over.

    A file may be half written while it is read, so an error is said if the next look finds one too.
    """

    def __init__(self, file: Path, say: Callable[[int, str], object], *, meanwhile: str) -> None:
        """`say` gets a level of `logging` and a message; `meanwhile` is what happens while a file cannot be read."""
        self._file = file
        self._say = say
        self._meanwhile = meanwhile
        self.errors: dict[str, str] = {}
        """What was wrong at the last look, by the name of the file."""
        self._told: dict[str, set[str]] = {}
        """Errors that were said, by the name of the file."""

    def read(self) -> PlatformSettings | None:
        """What feeds.yaml says now; None if it cannot be read, whatever the reason."""
        found = look(self._file)
        for name, error in found.errors.items():
            if name in self.errors and error not in self._told.get(name, ()):
                self._told.setdefault(name, set()).add(error)
                self._say(logging.WARNING, f"{error}\n{self._meanwhile}")
        self.errors = found.errors
        for name in sorted(self._told.keys() - self.errors.keys()):
            del self._told[name]
            self._say(logging.WARNING, f"{name} can be read again, and counts from now on")
        return found.settings
