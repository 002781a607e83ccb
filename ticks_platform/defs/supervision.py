"""What to do about a feed, given its runs and its lease: decisions only, so that every case can be tested.

Dagster alone cannot tell: a run whose machine lost power stays STARTED for ever, since the default launcher has no
health check. So a run counts as alive while the heartbeat of its lease moves. The same goes for an owner that is not a
run of this Dagster instance: two instances on one database would otherwise take a feed from each other for ever.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import NamedTuple

START_GRACE = 60.0
"""Seconds that a started run has until its first heartbeat, and one that lost its lease has to end."""

HEARTBEAT_GRACE = 30.0
"""Seconds without a new heartbeat after which the owner of a lease is taken for dead."""

LONGEST_STEP = 10.0
"""Seconds by which the watch's clock goes on between two looks, at the most."""

SHORT_LIFE = 60.0
"""A run that failed before it was this many seconds old counts towards a crash loop."""

ATTEMPTS = 3
"""How many runs are launched one after another to follow the one that is there, for the same reason."""

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
    wants_successor: str | None = None
    """Why it is to be handed over, where somebody has asked for that."""
    follows_because: str | None = None
    """Why it was launched beside another one."""


class Sign(NamedTuple):
    """The last sign of life of a started run, or of an owner that is not a run of this Dagster instance."""

    beat: str | None
    """The heartbeat of the lease that it holds; None while it holds none."""
    seen_at: float
    """When this was first seen, on the watch's clock."""


class Watch(NamedTuple):
    """What the supervisor remembers from look to look.

    Its clock goes on only while it looks. In an outage of the database the supervisor cannot look and the runs cannot
    beat: the silence of that time must not make every run look dead afterwards.
    """

    looked_at: float
    """Seconds since the Unix epoch."""
    clock: float
    signs: dict[str, Sign]
    """By run id, or by owner."""

    @classmethod
    def resume(cls, cursor: str | None, *, now: float) -> Watch:
        """Go on from where `dump` left off. Begins anew where there is nothing that could be gone on from."""
        try:
            looked_at, clock, signs = json.loads(cursor or "")
            clock += min(max(now - looked_at, 0.0), LONGEST_STEP)
            return cls(now, clock, {run_id: Sign(*sign) for run_id, sign in signs.items()})
        except (ValueError, TypeError, AttributeError):
            return cls(now, 0.0, {})

    def dump(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(self)

    def look(self, owner: str, beat: str | None, *, age: float = 0.0) -> Sign:
        """The last sign of life of a run or an owner, given its heartbeat now: a new one only where that has moved.

        `age` is how many seconds ago the database was given this heartbeat, by the database's clock. It counts at first
        sight only: later, an old heartbeat may come from an outage in which nobody could beat.
        """
        sign = self.signs.get(owner)
        if sign is None:
            # Never in the future, not even where the database's clock was set back.
            return Sign(beat, self.clock - max(age, 0.0))
        return sign if sign.beat == beat else Sign(beat, self.clock)

    def is_dead(self, owner: str) -> bool:
        """Whether a run or an owner has been silent for too long. One that is not watched is not dead."""
        sign = self.signs.get(owner)
        if sign is None:
            return False
        return self.clock - sign.seen_at > (START_GRACE if sign.beat is None else HEARTBEAT_GRACE)


class Act(enum.Enum):
    """What to do."""

    NOTHING = "nothing"
    LAUNCH = "launch"
    REPLACE = "replace"
    HAND_OVER = "hand over"


class Decision(NamedTuple):
    """What to do about a feed and why; `dead` are the runs to report as failed first."""

    act: Act
    reason: str
    dead: tuple[str, ...] = ()
    because: str | None = None
    """Why a run is launched beside the one that is there."""


def decide(
    *,
    now: float,
    wanted: bool,
    in_flight: Sequence[RunView],
    finished: Sequence[RunView],
    watch: Watch,
    loaded_at: float,
    foreign: str | None = None,
    follows_reloads: bool = False,
) -> Decision:
    """Decide about one feed. `finished` are its latest ended runs, newest first.

    With `follows_reloads`, a run that was launched before the definitions were loaded is handed over to a new one.

    `foreign` is the owner of its lease where that is not a run of this Dagster instance and has not given the feed up:
    a run of another instance, a replay, or a run that this instance's history has been emptied of.
    """
    # Those that never start are failed by run monitoring.
    dead = tuple(run.run_id for run in in_flight if run.started and watch.is_dead(run.run_id))
    alive = [run for run in in_flight if run.run_id not in dead]
    if alive:
        if not wanted:
            return Decision(Act.NOTHING, "switched off, ending", dead)
        return _hand_over(alive, finished, watch, dead, loaded_at if follows_reloads else None)
    if not wanted:
        return Decision(Act.NOTHING, "switched off; the job enable_feed switches it on", dead)
    if foreign is not None and not watch.is_dead(foreign):
        reason = (
            f"ingested by {foreign}, which is not a run of this Dagster instance; a run is launched here when that one "
            f"gives the feed up, or is silent for {HEARTBEAT_GRACE:.0f} s"
        )
        return Decision(Act.NOTHING, reason, dead)
    if dead:
        return Decision(Act.REPLACE, f"run {dead[0][:8]} gives no sign of life", dead)
    if finished and finished[0].refused and finished[0].created_at > loaded_at:
        return Decision(Act.NOTHING, "refused; see its last run, correct the settings, then reload the code location")
    delay = crash_delay(finished)
    if finished and finished[0].ended_at is not None and now < finished[0].ended_at + delay:
        wait = finished[0].ended_at + delay - now
        return Decision(Act.NOTHING, f"failing at once again and again; next try in {wait:.0f} s")
    return Decision(Act.LAUNCH, "no run")


def _hand_over(
    alive: Sequence[RunView],
    finished: Sequence[RunView],
    watch: Watch,
    dead: tuple[str, ...],
    loaded_at: float | None,
) -> Decision:
    """Launch a successor beside the only run that is there, if there is a reason and that run holds the lease."""
    streaming = Decision(Act.NOTHING, "streaming", dead)
    if len(alive) > 1:
        return streaming._replace(reason="streaming; one run follows another")
    (run,) = alive
    because = run.wants_successor
    if because is None and loaded_at is not None and run.created_at < loaded_at:
        because = f"the code location was reloaded at {loaded_at:.0f}"
    sign = watch.signs.get(run.run_id)
    if because is None or sign is None or sign.beat is None:
        return streaming
    if sum(other.follows_because == because for other in finished) >= ATTEMPTS:
        reason = f"streaming; {ATTEMPTS} runs could not follow run {run.run_id[:8]} ({because}): see the last of them"
        return streaming._replace(reason=reason)
    return Decision(Act.HAND_OVER, f"run {run.run_id[:8]} is handed over: {because}", dead, because)


def crash_delay(finished: Sequence[RunView]) -> float:
    """Seconds to wait after the latest of these runs: none after one or two failures, then doubling up to a cap."""
    failures = 0
    for run in finished:
        if not run.failed or run.ended_at is None or run.ended_at - (run.started_at or run.ended_at) >= SHORT_LIFE:
            break
        failures += 1
    return 0.0 if failures < 3 else min(LONGEST_DELAY, 10.0 * 2.0 ** min(failures - 3, 16))
