"""What to do about a feed, given its runs and its lease: decisions only, so that every case can be tested.

Dagster alone cannot tell: a run whose machine lost power stays STARTED for ever, since the default launcher has no
health check. So a run counts as alive while the heartbeat of its lease moves. The same holds for an owner that is not a
run of this Dagster instance: otherwise two instances on one database would take a feed from each other for ever.
"""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from ticks_platform.defs.common.runs import RunView, crash_wait
from ticks_platform.ingestion.lease import DEAD_AFTER

LOADING_GRACE = 30.0
"""Seconds that the process of a run has to load the code, which takes two or three. Twice as long after a run that did
not get so far, and four times after two: the machine may be that slow."""

START_GRACE = 40.0
"""Seconds that a started run has until its first heartbeat."""

FOLLOW_GRACE = 60.0
"""As long as another run of the feed has heartbeats: of a planned hand-over, the seconds that the successor has until
its first one, and that a predecessor, whose lease was taken, has to end."""

HEARTBEAT_GRACE = DEAD_AFTER
"""Seconds without a new heartbeat after which the owner of a lease is presumed dead."""

REMEDY = "it is tried again as soon as .env or feeds.yaml is changed, or the code location is reloaded"
"""When a refused feed is tried again."""

LONGEST_STEP = 10.0
"""Seconds by which the watch's clock advances between two looks, at the most."""

_SLOW_STARTS = 2
"""How many runs that never started lengthen the time of the next."""

_AT_ONCE = 2
"""Runs that start within the usual time on one machine; with more, each takes longer."""

ATTEMPTS = 3
"""How many successors of a run are launched, one after another, for the same reason."""


LOADING = "loading the code"
"""The sign of life of a run whose process has begun, and which is not started yet."""


class Sign(NamedTuple):
    """The last sign of life of a run that has a process, or of an owner that is not a run of this Dagster instance."""

    beat: str | None
    """The heartbeat of the lease that it holds; None while it holds none. Or `LOADING`."""
    seen_at: float
    """When this was first seen, on the watch's clock."""


class Watch(NamedTuple):
    """What the supervisor remembers between two looks.

    Its clock advances only while it looks. In an outage of the database the supervisor cannot look and the runs cannot
    send heartbeats: the silence of that time must not make every run look dead afterwards.
    """

    looked_at: float
    """Seconds since the Unix epoch."""
    clock: float
    signs: dict[str, Sign]
    """By run id, or by owner."""

    @classmethod
    def resume(cls, cursor: str | None, *, now: float) -> Watch:
        """Continue from what `dump` returned; start over when the cursor cannot be read."""
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
        """The last sign of life of a run or an owner, given its heartbeat now: a new one only if that has moved.

        `age` is how many seconds ago the database was given this heartbeat, by the database's clock. It counts at first
        sight only: later, an old heartbeat may date from before an outage.
        """
        sign = self.signs.get(owner)
        if sign is None:
            # Never in the future, not even where the database's clock was set back.
            return Sign(beat, self.clock - max(age, 0.0))
        return sign if sign.beat == beat else Sign(beat, self.clock)

    def is_dead(self, owner: str, *, slowness: float = 1.0, is_beside: bool = False) -> bool:
        """Whether a run or an owner has been silent for too long. One that is not watched is not dead.

        `slowness` lengthens the time in which a process may load the code; `is_beside` tells that another run of the
        feed has heartbeats. With many that start at once, as fifty feeds after a restart, each has longer.
        """
        sign = self.signs.get(owner)
        if sign is None:
            return False
        starting = sum(each.beat in (None, LOADING) for each in self.signs.values())
        crowd = max(1.0, starting / _AT_ONCE)
        starts = FOLLOW_GRACE if is_beside else START_GRACE
        grace = {None: starts * crowd, LOADING: LOADING_GRACE * crowd * slowness}.get(sign.beat, HEARTBEAT_GRACE)
        return self.clock - sign.seen_at > grace

    def has_heartbeats(self, run_id: str) -> bool:
        """Whether a run holds a lease, and is not silent."""
        sign = self.signs.get(run_id)
        return sign is not None and sign.beat not in (None, LOADING) and not self.is_dead(run_id)

    def silence(self, owner: str) -> str:
        """What was missed of a run or an owner that is dead."""
        sign = self.signs[owner]
        if sign.beat == LOADING:
            return f"its process did not load the code within {self.clock - sign.seen_at:.0f} s"
        if sign.beat is None:
            return f"it holds no lease, {self.clock - sign.seen_at:.0f} s after it was started or lost it"
        return f"no heartbeat for more than {HEARTBEAT_GRACE:.0f} s"


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
    """Why a run is launched beside the present one."""


def decide(
    *,
    now: float,
    enabled: bool,
    in_flight: Sequence[RunView],
    finished: Sequence[RunView],
    watch: Watch,
    loaded_at: float,
    foreign: str | None = None,
    follows_reloads: bool = False,
    corrected_at: float = 0.0,
) -> Decision:
    """Decide about one feed. `finished` are its latest ended runs, newest first.

    A feed that was refused is tried again once the definitions are loaded again, or its settings are changed, which was
    at `corrected_at`; failures before that delay no launch.

    With `follows_reloads`, a run that was launched before the definitions were loaded is handed over to a new one.

    `foreign` is the owner of its lease if it is not a run of this Dagster instance and has not released the lease: a
    run of another instance, a replay, or a run that was deleted from this instance's history.
    """
    # Run monitoring fails those that wait for a process for too long.
    is_beside = any(watch.has_heartbeats(run.run_id) for run in in_flight)
    dead = tuple(
        run.run_id
        for run in in_flight
        if run.has_process
        and watch.is_dead(run.run_id, slowness=1.0 if run.started else _slowness(finished), is_beside=is_beside)
    )
    alive = [run for run in in_flight if run.run_id not in dead]
    if alive:
        if not enabled:
            return Decision(Act.NOTHING, "switched off, ending", dead)
        return _hand_over(alive, finished, watch, dead, loaded_at if follows_reloads else None)
    if not enabled:
        return Decision(Act.NOTHING, "switched off; the job enable_feed switches it on", dead)
    if foreign is not None and not watch.is_dead(foreign):
        reason = (
            f"ingested by {foreign}, which is not a run of this Dagster instance; a run is launched here when it "
            f"releases the feed, or sends no heartbeat for {HEARTBEAT_GRACE:.0f} s"
        )
        return Decision(Act.NOTHING, reason, dead)
    if dead:
        return Decision(Act.REPLACE, f"run {dead[0][:8]} presumed dead", dead)
    if finished and finished[0].refused and finished[0].created_at > max(loaded_at, corrected_at):
        return Decision(Act.NOTHING, f"refused; {REMEDY}; its last run says why")
    # What failed before the settings were changed says nothing of them.
    wait = crash_wait([run for run in finished if run.created_at > corrected_at], now=now)
    if wait:
        return Decision(Act.NOTHING, f"crash loop; retrying in {wait:.0f} s")
    return Decision(Act.LAUNCH, "no run")


def _slowness(finished: Sequence[RunView]) -> float:
    """How much longer than usual a run may load the code, after runs that did not get so far."""
    latest = finished[:_SLOW_STARTS]
    started = next((number for number, run in enumerate(latest) if run.started_at is not None), len(latest))
    return 2.0**started


def _hand_over(
    alive: Sequence[RunView],
    finished: Sequence[RunView],
    watch: Watch,
    dead: tuple[str, ...],
    loaded_at: float | None,
) -> Decision:
    """Launch a successor of the only run, if there is a reason and that run holds the lease."""
    streaming = Decision(Act.NOTHING, "streaming", dead)
    if len(alive) > 1:
        return streaming._replace(reason="streaming; one run follows another")
    (run,) = alive
    because = run.wants_successor
    if because is None and loaded_at is not None and run.created_at < loaded_at:
        because = f"the code location was reloaded at {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime(loaded_at))}"
    sign = watch.signs.get(run.run_id)
    if because is None or sign is None or sign.beat is None:
        return streaming
    if sum(other.follows_because == because for other in finished) >= ATTEMPTS:
        reason = f"streaming; {ATTEMPTS} runs could not follow run {run.run_id[:8]} ({because}): see the last of them"
        return streaming._replace(reason=reason)
    return Decision(Act.HAND_OVER, f"run {run.run_id[:8]} is handed over: {because}", dead, because)
