"""Which feeds are enabled: people change it; ingestion and its supervisor follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def disabled(cursor: Cursor, feeds: Sequence[str]) -> set[str]:
    """Those of the feeds that are disabled. A feed that is not in the database is enabled."""
    cursor.execute("SELECT feed FROM ticks_platform.feed WHERE feed = ANY (%s) AND NOT enabled", (list(feeds),))
    return {row[0] for row in cursor.fetchall()}


def set_enabled(cursor: Cursor, *, feed: str, provider: str, synthetic: bool, enabled: bool) -> None:
    """Enable or disable a feed. A running ingestion follows at its next commit or heartbeat."""
    parameters = {"feed": feed, "provider": provider, "synthetic": synthetic, "enabled": enabled}
    cursor.execute(sql_files.read("queries/feeds/switch.sql"), parameters)
