"""Refresh policies: what the database has, who runs them, and running one by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class RefreshPolicy(NamedTuple):
    """A refresh policy as the database has it."""

    job_id: int
    candle: str
    start_offset: str | None
    end_offset: str | None
    schedule_interval: timedelta


def refresh_policy(cursor: Cursor, candle: str) -> RefreshPolicy | None:
    """The refresh policy of a candle, or None when it has none."""
    cursor.execute(sql_files.read("queries/policies/refresh_policy.sql"), {"candle": candle})
    row = cursor.fetchone()
    return RefreshPolicy(*row) if row else None


def scheduler_is_running(cursor: Cursor) -> bool:
    """Whether the database runs its own jobs: its scheduler is running, or was within the last hour.

    The second half is for servers that hide other users' processes.
    """
    cursor.execute(sql_files.read("queries/policies/scheduler_is_running.sql"))
    row = cursor.fetchone()
    return bool(row and row[0])


def run(cursor: Cursor, job_id: int) -> None:
    """Run a policy now, in the caller's session, which must not be in a transaction."""
    cursor.execute("CALL run_job(%s)", (job_id,))


def is_due(interval: timedelta, at: datetime, since: datetime) -> bool:
    """Whether a multiple of the interval, counted from the Unix epoch, lies after `since` and not after `at`."""
    seconds = interval.total_seconds()
    return at.timestamp() // seconds > since.timestamp() // seconds
