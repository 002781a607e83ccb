"""Refresh policies: what the database has, who runs them, and running one by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

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
    # Jobs name the candle's materialization on older releases and the candle itself on newer ones; its id is in both.
    cursor.execute(
        """
        SELECT jobs.job_id, candles.view_name, jobs.config ->> 'start_offset', jobs.config ->> 'end_offset',
               jobs.schedule_interval
        FROM timescaledb_information.jobs AS jobs
        JOIN timescaledb_information.continuous_aggregates AS candles
          ON jobs.hypertable_name IN (candles.view_name, candles.materialization_hypertable_name)
         AND jobs.hypertable_schema IN (candles.view_schema, candles.materialization_hypertable_schema)
        WHERE jobs.proc_name = 'policy_refresh_continuous_aggregate'
          AND candles.view_schema = current_schema() AND candles.view_name = %s
        ORDER BY jobs.job_id
        """,
        (candle,),
    )
    row = cursor.fetchone()
    return RefreshPolicy(*row) if row else None


def scheduler_is_running(cursor: Cursor) -> bool:
    """Whether the database runs its own jobs: its scheduler is at work, or has been within the last hour.

    The second half is for servers that hide other users' processes.
    """
    cursor.execute(
        """
        SELECT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND backend_type = 'TimescaleDB Background Worker Scheduler')
            OR EXISTS (SELECT FROM timescaledb_information.job_stats
                       WHERE last_run_started_at > now() - INTERVAL '1 hour')
        """
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def run(cursor: Cursor, job_id: int) -> None:
    """Run a policy now, in the caller's session, which must not be in a transaction."""
    cursor.execute("CALL run_job(%s)", (job_id,))


def is_due(interval: timedelta, at: datetime, since: datetime) -> bool:
    """Whether a multiple of the interval, counted from the Unix epoch, lies after `since` and not after `at`."""
    seconds = interval.total_seconds()
    return at.timestamp() // seconds > since.timestamp() // seconds
