"""What feeds.yaml says of a feed while `ticks ingest` streams it."""

from __future__ import annotations

import logging
from pathlib import Path

from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.feeds.settings_watch import SettingsWatch, only
from ticks_platform.ingestion.run import Ingestion


class Followed:
    """Adopts other symbols, and says which other changes wait for the next start."""

    def __init__(self, file: Path, settings: PlatformSettings, ingestion: Ingestion) -> None:
        self._ingestion = ingestion
        self._used = self._told = only(settings, [ingestion.feed.name])
        meanwhile = f"Feed {ingestion.feed.name} continues with the settings that it has."
        self._watch = SettingsWatch(file, logging.log, meanwhile=meanwhile)

    def look(self) -> None:
        """Look at the file again."""
        read, feed = self._watch.read(), self._ingestion.feed.name
        if read is None:
            return
        current = only(read, [feed])
        text = None
        if not current.feeds:
            text = "it is no longer in feeds.yaml, and continues until this process is stopped"
        elif current.stand_in != self._used.stand_in or not self._used.feeds[0].only_symbols_differ(current.feeds[0]):
            text = "other settings than its symbols have changed in feeds.yaml; start this process again to use them"
        elif current.feeds != self._used.feeds:
            self._ingestion.apply_settings(current.feeds[0])
            self._used = current
            text = "its symbols have changed in feeds.yaml"
        if current != self._told and text is not None:
            logging.warning("feed %s: %s", feed, text)
        self._told = current
