"""What is wrong with the feeds, as far as the database knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale import quality, server_clock

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.quality import Channels


class Silence(NamedTuple):
    """How long a feed has sent no tick, and whether that is too long."""

    feed: str
    limit: float
    """Seconds, of feeds.yaml."""
    last_received_at: datetime | None
    """None if it never sent one."""
    age: float | None
    """Seconds since then."""
    enabled: bool
    is_open: bool
    """Whether one of its symbols is traded now."""
    is_stalled: bool
    """Whether it has been silent for longer than the limit while a market was open."""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if not self.enabled:
            return "switched off"
        if self.is_stalled:
            return "stale"
        if not self.is_open:
            return "closed"
        return "no tick yet" if self.age is None else "fresh"

    @property
    def text(self) -> str:
        """In words."""
        last = "last tick never" if self.age is None else f"last tick {self.age:.0f} s ago"
        return f"{self.feed} ({last}, limit {self.limit:.0f} s)"


def silences(cursor: Cursor, feeds: Sequence[FeedSettings]) -> list[Silence]:
    """How long each of these feeds has been silent. Only time in which a market is open counts."""
    now = server_clock.now(cursor).timestamp()
    seen = {row.feed: row for row in quality.freshness(cursor, [feed.name for feed in feeds])}
    found = []
    for feed in feeds:
        row = seen.get(feed.name)
        age, enabled = (row.age_seconds, row.enabled) if row else (None, True)
        opened = [since for each in set(feed.calendars().values()) if (since := each.open_since(now)) is not None]
        is_open_for = now - min(opened) if opened else 0.0
        # A feed that was just added has the same time for its first tick.
        waits = (row.received_for_seconds if row else None) if age is None else age
        silent_for = min(is_open_for, float("inf") if waits is None else waits)
        found.append(
            Silence(
                feed=feed.name,
                limit=feed.stale_after_seconds,
                last_received_at=row.last_received_at if row else None,
                age=age,
                enabled=enabled,
                is_open=bool(opened),
                is_stalled=enabled and silent_for > feed.stale_after_seconds,
            )
        )
    return found


def refusal(row: Channels) -> str | None:
    """Why a feed as a whole is refused, in words; None if it is not."""
    if row.refused is None:
        return None
    return f"refused, and not tried again until .env or feeds.yaml is changed: {row.refused}"


def missing_channels(row: Channels) -> str | None:
    """How many channels of a feed do not stream, in words; None if all do."""
    counts = ((row.failed, "not subscribed"), (row.silent, "silent"))
    return ", ".join(f"{count} {what}" for count, what in counts if count) or None
