"""What the page says of a feed, in words: judged by its run, its connection, and by what arrives."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ticks_platform.feeds.settings import SettingsError, load_settings
from ticks_platform.ingestion.loader import HEARTBEAT_INTERVAL

HEARTBEATS_MISSED = 2 * HEARTBEAT_INTERVAL
"""Seconds without a heartbeat after which the page says so. The supervisor waits for longer before it acts."""

SHORTEST_SILENCE = 3.0
"""Seconds without data that are worth saying, of a feed that sends often."""

EVENTS_MISSED = 30.0
"""How many events have to be missing, by the pace of the last minute, before a silence is said."""

PACE_SECONDS = 60.0
RATE_SECONDS = 5.0
"""Over how long the pace and the rate that is shown are measured."""

NOTHING = {"events": 0, "loaded": 0, "replaced": 0, "duplicate": 0, "rejected": 0, "control": 0}


class Names:
    """The names of the feeds in feeds.yaml, which is read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int, int] | None = None
        self._names: list[str] = []

    def read(self) -> list[str]:
        """The names, in their order; as before while the file cannot be used."""
        with contextlib.suppress(OSError, SettingsError):
            found = self._file.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if version != self._version:
                self._version = version
                self._names = [feed.name for feed in load_settings(self._file).feeds]
        return self._names


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


def judge(row: Mapping[str, Any], pace: float | None) -> tuple[str, str, str]:
    """Tone (good, warn, bad or idle), words and detail of a feed; `pace` is its events a second of late."""
    state, detail = row.get("state"), row.get("detail") or ""
    age, data_age = row.get("heartbeat_age"), row.get("data_age")
    if not row["enabled"]:
        return "idle", "disabled", "enable it with the job enable_feed"
    if age is None:
        return "warn", "not started yet", "`ticks dev` starts it within a minute"
    if state == "refused":
        return "bad", "refused", detail
    if row["released"]:
        return "bad", "not ingested", f"run {row['owner']} has ended; `ticks dev` starts another one"
    if age > HEARTBEATS_MISSED:
        return "bad", "no sign of its run", f"run {row['owner']} was last heard of {age:.0f} s ago; another one follows"
    if state in ("backing off", "connecting", "authenticating"):
        return "warn", str(state), detail
    if state == "stalled":
        return "warn", "stalled", detail
    silent_after = max(SHORTEST_SILENCE, EVENTS_MISSED / pace) if pace else float("inf")
    if data_age is not None and data_age > silent_after:
        return "warn", "silent", f"nothing received for {data_age:.0f} s, where it sent {pace:.1f} events a second"
    return ("idle" if state == "closed" else "good"), str(state or "starting"), detail
