"""Refreshes within an evaluation of the schedule, which has less than a minute for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg2
import psycopg2.errors

from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.masking import mask
from ticks_platform.timescale.database import SessionConnection
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import Job
from ticks_platform.timescale.policies.settings import Policy

_SHORTEST = 0.1
"""Seconds; with less, a refresh is not begun."""


class Refreshed(NamedTuple):
    """What became of refreshes."""

    done: list[Policy]
    failed: dict[Policy, str]
    """Each with its message."""
    left: list[Policy]
    """Those for which there was no time: not begun, or cancelled."""
    waited: bool = False
    """Whether all of the time went into waiting for those who refresh candles in a run."""


def refresh(ticks_database: DatabaseResource, due: Mapping[Policy, Sequence[Job]], *, seconds: float) -> Refreshed:
    """Run policies here and now, one after the other, for no longer than these seconds.

    Raises UNREACHABLE when the database is away.
    """
    deadline = time.monotonic() + seconds
    found = Refreshed([], {}, [])
    for policy, jobs in due.items():
        remaining = deadline - time.monotonic()
        if remaining < _SHORTEST:
            found.left.append(policy)
            continue
        try:
            _run(ticks_database, jobs[0].job_id, remaining)
            found.done.append(policy)
        except psycopg2.errors.QueryCanceled as error:
            if time.monotonic() >= deadline - _SHORTEST:
                found.left.append(policy)
            else:
                found.failed[policy] = mask(str(error).strip())
        except psycopg2.Error as error:
            # Without a code the connection was lost; 57P is a server that is being stopped or started.
            if (error.pgcode or "57P").startswith("57P"):
                raise
            found.failed[policy] = mask(str(error).strip())
    return found


def _run(ticks_database: DatabaseResource, job_id: int, seconds: float) -> None:
    """Run a policy, cancelled after these seconds. Raises psycopg2.errors.QueryCanceled then."""
    with ticks_database.autocommit() as cursor:
        if isinstance(cursor.connection, SessionConnection) and not cursor.connection.is_pooled:
            # A cancel request does not reach a statement that runs in the embedded database.
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", (f"{seconds * 1000:.0f}ms",))
        # Reaches what waits for its turn there, and all of it elsewhere.
        timer = threading.Timer(seconds, cursor.connection.cancel)
        timer.start()
        try:
            policies.run(cursor, job_id)
        finally:
            timer.cancel()
            timer.join()
