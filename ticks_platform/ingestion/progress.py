"""What an ingestion tells of itself."""

from __future__ import annotations

from typing import NamedTuple

from ticks_platform.feeds.transport.state import State


class Unshipped(NamedTuple):
    """What is lost if this machine is lost with its disk now, beyond what the database has."""

    bytes: int
    seconds: float
    """The age of the oldest frame; 0 if there is none."""
    trouble: str | None
    """Why nothing is copied now, or None."""

    def __str__(self) -> str:
        waiting = f"{self.bytes:,} bytes are not copied, the oldest since {self.seconds:.0f} s" if self.bytes else "all"
        return f"{waiting}: {self.trouble}" if self.trouble else waiting


class Progress(NamedTuple):
    """Counts of an ingestion since its start, and its current state."""

    state: State
    frames: int
    loaded: int
    replaced: int
    """Bars that replaced an earlier one of their window."""
    duplicate: int
    """Trades that the provider sent again."""
    rejected: int
    control: int
    connections: int
    retries: int
    waiting_bytes: int
    last_event_at: int | None
    trouble: str | None
    failed_channels: dict[str, str]
    silent_symbols: frozenset[str]
    """Symbols that stay silent after a new subscription and a reconnect."""
    unshipped: Unshipped | None = None
    """What of its journals is not copied elsewhere; None if no copy is asked for."""
