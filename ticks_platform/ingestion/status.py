"""How feeds are: what is wanted, who ingests them, their account, and what waits in their journals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql

from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.loader import HEARTBEAT_INTERVAL
from ticks_platform.ingestion.metrics_export import Copied, told_of_copy
from ticks_platform.paths import journal_path
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TABLES = (
    "stocks_real_time",
    *(f"ticks_platform.{name}" for name in ("feed", "feed_lease", "feed_session", "feed_ledger", "feed_gap")),
)
"""What is read."""

ALIVE_WITHIN = 30.0
"""Seconds since the last heartbeat within which a feed counts as being ingested."""


HEARTBEATS_MISSED = 2 * HEARTBEAT_INTERVAL
"""Seconds without a heartbeat after which people are told. The supervisor waits for longer before it acts."""


class Verdict(NamedTuple):
    """How a feed is, for people."""

    tone: str
    """``good``, ``warn``, ``bad`` or ``idle``."""
    words: str
    detail: str
    """What is known beside that; empty if nothing is."""


def judge(row: Mapping[str, Any]) -> Verdict:
    """How a feed is, by what `queries/feeds/status.sql` tells of it: its switch, its run, its connection."""
    state, detail, age = row.get("state"), row.get("detail") or "", row.get("heartbeat_age")
    if not row["enabled"]:
        return Verdict("idle", "disabled", "enable it with the job enable_feed")
    if age is None:
        return Verdict("warn", "not started yet", "`ticks dev` starts it within a minute")
    if state == "refused":
        return Verdict("bad", "refused", detail)
    if row["released"]:
        return Verdict("bad", "not ingested", f"run {row['owner']} has ended; `ticks dev` starts another one")
    if age > HEARTBEATS_MISSED:
        last = f"run {row['owner']} was last heard of {age:.0f} s ago"
        return Verdict("bad", "no sign of its run", f"{last}; `ticks dev` starts another one")
    if state in ("backing off", "connecting", "authenticating", "stalled"):
        return Verdict("warn", str(state), detail)
    return Verdict("idle" if state == "closed" else "good", str(state or "starting"), detail)


class FeedStatus(NamedTuple):
    """One feed as of now. Fields of a feed that the database has never seen are None or 0."""

    feed: str
    enabled: bool
    owner: str | None
    """The run that ingests it, or the last one that did."""
    ingesting: bool
    """Whether that run was heard of within ALIVE_WITHIN."""
    heartbeat_age: float | None
    """Seconds."""
    released: bool
    """Whether that run has ended in order."""
    state: str | None
    """Of the connection that changed last: streaming, backing off, refused, …"""
    detail: str | None
    last_received_at: datetime | None
    last_tick_at: datetime | None
    """Event time of the newest tick of the last 24 hours."""
    events: int
    loaded: int
    replaced: int
    duplicate: int
    rejected: int
    control: int
    open_gaps: int
    journal_frames: int
    """Frames in this machine's journals that are not committed."""
    journal_bytes: int
    not_copied_bytes: int | None = None
    """Of the journal, neither stored nor copied, as this machine's run told; None if no copy is asked for."""
    not_copied_seconds: float | None = None
    """The age of the oldest of them."""
    copy_up: bool | None = None
    """Whether the journal is copied."""

    @property
    def is_well(self) -> bool:
        """Whether it is disabled, or ingested by a run that is not refused."""
        return not self.enabled or (self.ingesting and self.state != "refused")

    @property
    def copy(self) -> Copied | None:
        """What is known of the copy of the journal."""
        if self.not_copied_bytes is None or self.not_copied_seconds is None:
            return None
        return Copied(self.not_copied_bytes, self.not_copied_seconds, float(bool(self.copy_up)))

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "is_well": self.is_well}

    def summary(self) -> str:
        """In a line, for people."""
        _, run, detail = judge(self._asdict())
        if run != "streaming" and detail:
            run = f"{run}: {detail}"
        elif self.owner is not None and self.enabled:
            run = f"{run} (run {self.owner})"
        last = "none in 24 hours" if self.last_tick_at is None else f"{self.last_tick_at:%Y-%m-%d %H:%M:%S}Z"
        return (
            f"{run}; last tick {last}; {self.events:,} events = {self.loaded:,} loaded + {self.replaced:,} replaced + "
            f"{self.duplicate:,} duplicate + {self.rejected:,} rejected + {self.control:,} control; "
            f"{self.open_gaps} open gaps; {self.journal_frames:,} frames wait in the journal"
            f"{'' if self.copy is None else f'; {self.copy}'}"
        )


def enabled(cursor: Cursor) -> list[str]:
    """The feeds that are enabled, as far as the database knows: where feeds.yaml cannot be read."""
    cursor.execute("SELECT feed FROM ticks_platform.feed WHERE enabled ORDER BY feed")
    return [feed for (feed,) in cursor.fetchall()]


def feeds(cursor: Cursor, names: Sequence[str]) -> list[FeedStatus]:
    """The status of each of these feeds, in their order. Needs the platform's tables."""
    status = sql_files.compose("queries/feeds/status.sql", feeds=sql.Literal(list(names)))
    cursor.execute(sql_files.compose("queries/status/feeds.sql", status=status))
    columns = [column.name for column in cursor.description or ()]
    known = {row[0]: dict(zip(columns, row, strict=True)) for row in cursor.fetchall()}
    return [_status(cursor, name, known.get(name, {})) for name in names]


def _status(cursor: Cursor, feed: str, row: dict[str, Any]) -> FeedStatus:
    def position_of(journal_id: str) -> int:
        cursor.execute("SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_id = %s", (journal_id,))
        return int((cursor.fetchone() or (0,))[0])

    age = row.get("heartbeat_age")
    frames, size = waiting(feed, position_of)
    copy = told_of_copy(feed)
    return FeedStatus(
        feed=feed,
        enabled=row.get("enabled", True),
        owner=row.get("owner"),
        ingesting=age is not None and not row["released"] and age <= ALIVE_WITHIN,
        heartbeat_age=None if age is None else round(age, 1),
        released=bool(row.get("released")),
        state=row.get("state"),
        detail=row.get("detail"),
        last_received_at=row.get("last_received_at"),
        last_tick_at=row.get("last_tick_at"),
        **{name: row.get(name) or 0 for name in ("events", "loaded", "replaced", "duplicate", "rejected", "control")},
        open_gaps=row.get("open_gaps") or 0,
        journal_frames=frames,
        journal_bytes=size,
        not_copied_bytes=None if copy is None else int(copy.bytes),
        not_copied_seconds=None if copy is None else round(copy.seconds, 1),
        copy_up=None if copy is None else bool(copy.is_up),
    )


def waiting(feed: str, position_of: Callable[[str], int]) -> tuple[int, int]:
    """Frames and bytes in this machine's journals of a feed beyond their checkpoints, of which one has to tell."""
    frames = size = 0
    for path in journal_pair(journal_path(feed)):
        if not path.exists():
            continue
        try:
            with journal_view(path) as journal:
                found = journal.waiting_after(position_of(journal.journal_id))
        except JournalError:
            continue  # another program's file; `ticks doctor` says so
        frames, size = frames + found.frames, size + found.bytes
    return frames, size
