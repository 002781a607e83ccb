"""What to do about a feed, given its runs and its lease: decisions only, so that every case can be tested.

Dagster alone cannot tell: a run whose machine lost power stays STARTED for ever, since the default launcher has no
health check. So a run counts as alive while the heartbeat of its lease moves.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

START_GRACE = 60.0
"""Seconds that a started run has until its first heartbeat."""

HEARTBEAT_GRACE = 30.0
"""Seconds without a new heartbeat, as seen by this sensor, after which a run is taken for dead."""

SHORT_LIFE = 60.0
"""A run that failed before it was this many seconds old counts towards a crash loop."""

LONGEST_DELAY = 300.0
"""Seconds between tries in a crash loop, at the most."""


class RunView(NamedTuple):
    """What matters of a run; times are seconds since the Unix epoch."""

    run_id: str
    started: bool
    """STARTED or CANCELING: a process should be at work."""
    failed: bool
    refused: bool
    created_at: float
    started_at: float | None
    ended_at: float | None


class Heartbeat(NamedTuple):
    """The lease's heartbeat as this sensor has seen it move."""

    owner: str
    value: str
    seen_at: float
    """When this value was first seen. The sensor's own clock counts only while it reaches the database, so that an
    outage of the database does not make every run look dead afterwards."""


class Act(enum.Enum):
    """What to do."""

    NOTHING = "nothing"
    LAUNCH = "launch"
    REPLACE = "replace"


class Decision(NamedTuple):
    """What to do about a feed and why; `dead` are the runs to report as failed first."""

    act: Act
    reason: str
    dead: tuple[str, ...] = ()


def decide(
    *,
    now: float,
    wanted: bool,
    in_flight: Sequence[RunView],
    finished: Sequence[RunView],
    heartbeat: Heartbeat | None,
    loaded_at: float,
) -> Decision:
    """Decide about one feed. `finished` are its latest ended runs, newest first."""
    dead = tuple(run.run_id for run in in_flight if _is_dead(run, heartbeat, now))
    if len(in_flight) > len(dead):
        return Decision(Act.NOTHING, "streaming" if wanted else "switched off, ending", dead)
    if not wanted:
        return Decision(Act.NOTHING, "switched off; the job enable_feed switches it on", dead)
    if dead:
        return Decision(Act.REPLACE, f"no heartbeat of run {dead[0][:8]} for {HEARTBEAT_GRACE:.0f} s", dead)
    if finished and finished[0].refused and finished[0].created_at > loaded_at:
        return Decision(Act.NOTHING, "refused; see its last run, correct the settings, then reload the code location")
    delay = crash_delay(finished)
    if finished and finished[0].ended_at is not None and now < finished[0].ended_at + delay:
        wait = finished[0].ended_at + delay - now
        return Decision(Act.NOTHING, f"failing at once again and again; next try in {wait:.0f} s")
    return Decision(Act.LAUNCH, "no run")


def crash_delay(finished: Sequence[RunView]) -> float:
    """Seconds to wait after the latest of these runs: none after one or two failures, then doubling up to a cap."""
    failures = 0
    for run in finished:
        if not run.failed or run.ended_at is None or run.ended_at - (run.started_at or run.ended_at) >= SHORT_LIFE:
            break
        failures += 1
    return 0.0 if failures < 3 else min(LONGEST_DELAY, 10.0 * 2.0 ** min(failures - 3, 16))


def observe(previous: Heartbeat | None, *, owner: str, value: str, now: float) -> Heartbeat:
    """Note a heartbeat: the clock starts again only when it has moved."""
    if previous is not None and (previous.owner, previous.value) == (owner, value):
        return previous
    return Heartbeat(owner, value, now)


def _is_dead(run: RunView, heartbeat: Heartbeat | None, now: float) -> bool:
    if not run.started:
        return False  # run monitoring fails runs that never start
    if run.started_at is None or now - run.started_at < START_GRACE:
        beats = heartbeat is not None and heartbeat.owner == run.run_id
        if not beats:
            return False
    if heartbeat is None or heartbeat.owner != run.run_id:
        return True
    return now - heartbeat.seen_at > HEARTBEAT_GRACE
