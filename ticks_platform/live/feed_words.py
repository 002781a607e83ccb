"""What the page says of a feed, in words: judged by its run, its connection, and by what arrives."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ticks_platform import env_file
from ticks_platform.feeds import settings_watch
from ticks_platform.ingestion import status
from ticks_platform.ingestion.status import Verdict
from ticks_platform.masking import mask

SHORTEST_SILENCE = 3.0
"""Seconds without data that are worth saying, of a feed that sends often."""

EVENTS_MISSED = 30.0
"""How many events have to be missing, by the pace of the last minute, before a silence is said."""

PACE_SECONDS = 60.0
RATE_SECONDS = 5.0
"""Over how long the pace and the rate that is shown are measured."""

HALF_WRITTEN = 3.0
"""Seconds for which feeds.yaml or .env cannot be read until the page says so."""

NOTHING = {"events": 0, "loaded": 0, "replaced": 0, "duplicate": 0, "rejected": 0, "control": 0}


class Names:
    """The names of the feeds in feeds.yaml, which is read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, ...] | None = None
        self._names: list[str] = []
        self._errors: dict[str, str] = {}
        self._since = 0.0
        """When the files were found as they are, on the monotonic clock."""

    def read(self) -> list[str]:
        """The names, in their order; as before while the file cannot be used."""
        version = (*_version(self._file), *_version(env_file.path()))
        if version != self._version:
            self._version = version
            found = settings_watch.look(self._file)
            if found.errors.keys() - self._errors.keys():
                self._since = time.monotonic()
            self._errors = found.errors
            if found.settings is not None:
                self._names = [feed.name for feed in found.settings.feeds]
        return self._names

    def trouble(self) -> str | None:
        """What is wrong with the files, once that has lasted: one may be half written when it is read."""
        if not self._errors or time.monotonic() < self._since + HALF_WRITTEN:
            return None
        errors = "\n".join(mask(error) for error in self._errors.values())
        return f"{errors}\nFeeds that run continue with the settings that they have; no run can begin."


def _version(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


class Pulse:
    """How many events each feed had when; the rates of the last minute follow from that."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def add(self, feed: str, now: float, events: int) -> None:
        """Count of events of a feed at a moment, in seconds."""
        seen = self._seen.setdefault(feed, deque())
        if seen and events < seen[-1][1]:
            seen.clear()  # another database
        seen.append((now, events))
        while seen[0][0] < now - PACE_SECONDS - RATE_SECONDS:
            seen.popleft()

    def rate(self, feed: str, seconds: float) -> float | None:
        """Events a second over the last seconds; None while there is nothing to compare with."""
        seen = self._seen.get(feed)
        if not seen:
            return None
        now, events = seen[-1]
        then, before = next(each for each in seen if each[0] >= now - seconds - 0.5)
        return (events - before) / (now - then) if now > then else None


def describe(names: Sequence[str], rows: Sequence[Mapping[str, Any]], pulse: Pulse) -> list[dict[str, Any]]:
    """The feeds of feeds.yaml in their order, as the page gets them, each with its tone and words."""
    known = {row["feed"]: row for row in rows}
    found = []
    for name in names:
        row: Mapping[str, Any] = known.get(name, {"feed": name, "enabled": True, **NOTHING})
        tone, words, detail = judge(row, pulse.rate(name, PACE_SECONDS))
        rate = pulse.rate(name, RATE_SECONDS)
        found.append(
            {**row, "tone": tone, "words": words, "detail": detail, "rate": None if rate is None else round(rate, 1)}
        )
    return found


def judge(row: Mapping[str, Any], pace: float | None) -> Verdict:
    """How a feed is; `pace` is its events a second of late, by which silence is seen before its run says so."""
    found, data_age = status.judge(row), row.get("data_age")
    silent_after = max(SHORTEST_SILENCE, EVENTS_MISSED / pace) if pace else float("inf")
    if found.tone in ("good", "idle") and row["enabled"] and data_age is not None and data_age > silent_after:
        detail = f"nothing received for {data_age:.0f} s, where it sent {pace:.1f} events a second"
        return Verdict("warn", "silent", detail)
    return found
