"""What the supervisor decides, case by case, and what it remembers from look to look."""

from __future__ import annotations

import json

import pytest

from ticks_platform.defs.common.runs import LONGEST_DELAY, RunView, crash_delay, crash_wait
from ticks_platform.defs.ingestion.decisions import (
    FOLLOW_GRACE,
    HEARTBEAT_GRACE,
    LOADING,
    LOADING_GRACE,
    LONGEST_STEP,
    START_GRACE,
    Act,
    Decision,
    Sign,
    Watch,
    decide,
)

NOW = 1_000_000.0
CLOCK = 500.0


def started(run_id: str = "run", **fields: object) -> RunView:
    run = RunView(run_id, True, False, False, NOW - 900, NOW - 890, None, has_process=True)
    return run._replace(**fields)


def queued(run_id: str = "run") -> RunView:
    return RunView(run_id, False, False, False, NOW - 900, None, None)


def loading(run_id: str = "run") -> RunView:
    return queued(run_id)._replace(has_process=True)


def never_started(*, ago: float) -> RunView:
    return RunView("ended", False, True, False, NOW - ago - 40, None, NOW - ago)


def ended(*, ago: float, life: float = 3600.0, failed: bool = False, refused: bool = False) -> RunView:
    at = NOW - ago
    return RunView("ended", False, failed, refused, at - life - 1, at - life, at)


def watch(**silent: tuple[str | None, float]) -> Watch:
    """A watch over runs, each given by its heartbeat and for how long that has not changed."""
    return Watch(NOW, CLOCK, {run_id: Sign(beat, CLOCK - since) for run_id, (beat, since) in silent.items()})


def decided(
    in_flight: list[RunView] | None = None,
    finished: list[RunView] | None = None,
    watched: Watch | None = None,
    *,
    enabled: bool = True,
    loaded_at: float = NOW - 10_000,
    foreign: str | None = None,
    follows_reloads: bool = False,
    corrected_at: float = 0.0,
) -> Decision:
    return decide(
        now=NOW,
        enabled=enabled,
        in_flight=in_flight or [],
        finished=finished or [],
        watch=watched or watch(),
        loaded_at=loaded_at,
        foreign=foreign,
        follows_reloads=follows_reloads,
        corrected_at=corrected_at,
    )


RELOADED = NOW - 100.0
"""After `started` and `queued` were launched."""


CASES = {
    "no run": (decided(), Act.LAUNCH, ()),
    "the run before ended well": (decided(finished=[ended(ago=1)]), Act.LAUNCH, ()),
    "terminated in the UI": (decided(finished=[ended(ago=1, life=3)]), Act.LAUNCH, ()),
    "killed: replaced at once": (decided(finished=[ended(ago=1, failed=True)]), Act.LAUNCH, ()),
    "alive": (decided([started()], watched=watch(run=("b", 2))), Act.NOTHING, ()),
    "alive, heartbeat just late": (
        decided([started()], watched=watch(run=("b", HEARTBEAT_GRACE))),
        Act.NOTHING,
        (),
    ),
    "young without heartbeat": (decided([started()], watched=watch(run=(None, START_GRACE))), Act.NOTHING, ()),
    "never a heartbeat": (decided([started()], watched=watch(run=(None, START_GRACE + 1))), Act.REPLACE, ("run",)),
    "stale heartbeat": (decided([started()], watched=watch(run=("b", HEARTBEAT_GRACE + 1))), Act.REPLACE, ("run",)),
    "power loss: STARTED for ever": (
        decided([started(started_at=NOW - 1e6)], [ended(ago=2e6)], watch(run=("b", 400))),
        Act.REPLACE,
        ("run",),
    ),
    "started before the supervisor's memory begins": (decided([started(started_at=NOW - 1e6)]), Act.NOTHING, ()),
    "queued": (decided([queued()]), Act.NOTHING, ()),
    "queued for long, beside a memory of it": (decided([queued()], watched=watch(run=(None, 400))), Act.NOTHING, ()),
    "its process loads the code": (
        decided([loading()], watched=watch(run=(LOADING, LOADING_GRACE))),
        Act.NOTHING,
        (),
    ),
    "its process was lost while it loaded the code": (
        decided([loading()], watched=watch(run=(LOADING, LOADING_GRACE + 1))),
        Act.REPLACE,
        ("run",),
    ),
    "one more process that takes as long": (
        decided([loading()], [never_started(ago=50)], watch(run=(LOADING, 2 * LOADING_GRACE))),
        Act.NOTHING,
        (),
    ),
    "the third that never started": (
        decided([loading()], [never_started(ago=50)] * 5, watch(run=(LOADING, 4 * LOADING_GRACE + 1))),
        Act.REPLACE,
        ("run",),
    ),
    "lost while it loaded the code, after one that streamed": (
        decided([loading()], [ended(ago=50), never_started(ago=900)], watch(run=(LOADING, LOADING_GRACE + 1))),
        Act.REPLACE,
        ("run",),
    ),
    "lost while it loaded the code, to follow a dead one": (
        decided(
            [loading("new"), started("old")],
            watched=watch(new=(LOADING, LOADING_GRACE + 1), old=("b", HEARTBEAT_GRACE + 1)),
        ),
        Act.REPLACE,
        ("new", "old"),
    ),
    "a successor that receives beside its predecessor": (
        decided([started("new"), started("old")], watched=watch(new=(None, FOLLOW_GRACE), old=("b", 1))),
        Act.NOTHING,
        (),
    ),
    "a successor of a dead one": (
        decided(
            [started("new"), started("old")],
            watched=watch(new=(None, START_GRACE + 1), old=("b", HEARTBEAT_GRACE + 1)),
        ),
        Act.REPLACE,
        ("new", "old"),
    ),
    "the dead one beside the living one": (
        decided([started("new"), started("old")], watched=watch(new=("b", 1), old=(None, FOLLOW_GRACE + 1))),
        Act.NOTHING,
        ("old",),
    ),
    "the dead one beside its successor in the queue": (
        decided([queued("new"), started("old")], watched=watch(old=("b", HEARTBEAT_GRACE + 1))),
        Act.NOTHING,
        ("old",),
    ),
    "two dead ones": (
        decided([started("a"), started("b")], watched=watch(a=("x", 400), b=(None, 400))),
        Act.REPLACE,
        ("a", "b"),
    ),
    "disabled without runs": (decided(enabled=False), Act.NOTHING, ()),
    "disabled, run still ending": (
        decided([started()], watched=watch(run=("b", 1)), enabled=False),
        Act.NOTHING,
        (),
    ),
    "disabled, run dead": (decided([started()], watched=watch(run=("b", 400)), enabled=False), Act.NOTHING, ("run",)),
    "refused since the definitions were loaded": (
        decided(finished=[ended(ago=600, life=2, failed=True, refused=True)]),
        Act.NOTHING,
        (),
    ),
    "refused before they were loaded again": (
        decided(finished=[ended(ago=600, life=2, failed=True, refused=True)], loaded_at=NOW - 30),
        Act.LAUNCH,
        (),
    ),
    "refused before its settings were corrected": (
        decided(finished=[ended(ago=600, life=2, failed=True, refused=True)], corrected_at=NOW - 30),
        Act.LAUNCH,
        (),
    ),
    "refused with the corrected settings": (
        decided(finished=[ended(ago=600, life=2, failed=True, refused=True)], corrected_at=NOW - 700),
        Act.NOTHING,
        (),
    ),
    "refused earlier, but ran since": (
        decided(finished=[ended(ago=5), ended(ago=600, life=2, failed=True, refused=True)]),
        Act.LAUNCH,
        (),
    ),
    "two failures at once": (decided(finished=[ended(ago=1, life=1, failed=True)] * 2), Act.LAUNCH, ()),
    "three failures at once": (decided(finished=[ended(ago=1, life=1, failed=True)] * 3), Act.NOTHING, ()),
    "three failures at once, waited": (decided(finished=[ended(ago=11, life=1, failed=True)] * 3), Act.LAUNCH, ()),
    "twelve failures at once": (decided(finished=[ended(ago=299, life=1, failed=True)] * 12), Act.NOTHING, ()),
    "twelve failures at once, waited": (decided(finished=[ended(ago=301, life=1, failed=True)] * 12), Act.LAUNCH, ()),
    "twelve failures before the settings were corrected": (
        decided(finished=[ended(ago=50, life=1, failed=True)] * 12, corrected_at=NOW - 30),
        Act.LAUNCH,
        (),
    ),
    "four failures, the last ones with the corrected settings": (
        decided(
            finished=[*[ended(ago=2, life=1, failed=True)] * 3, ended(ago=50, life=1, failed=True)],
            corrected_at=NOW - 30,
        ),
        Act.NOTHING,
        (),
    ),
    "dead after a crash loop": (
        decided([started()], [ended(ago=1, life=1, failed=True)] * 12, watch(run=("b", 400))),
        Act.REPLACE,
        ("run",),
    ),
    "a foreign owner beats": (decided(watched=watch(other=("b", 2)), foreign="other"), Act.NOTHING, ()),
    "a foreign owner, heartbeat just late": (
        decided(watched=watch(other=("b", HEARTBEAT_GRACE)), foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a foreign owner stands still": (
        decided(watched=watch(other=("b", HEARTBEAT_GRACE + 1)), foreign="other"),
        Act.LAUNCH,
        (),
    ),
    "a foreign owner took it from a run that ends": (
        decided([started()], watched=watch(run=(None, 1), other=("b", 1)), foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a foreign owner took it from a run that has ended": (
        decided(finished=[ended(ago=1, failed=True)], watched=watch(other=("b", 1)), foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a foreign owner took it from a run that hangs": (
        decided([started()], watched=watch(run=(None, START_GRACE + 1), other=("b", 1)), foreign="other"),
        Act.NOTHING,
        ("run",),
    ),
    "a foreign owner and a run, both dead": (
        decided([started()], watched=watch(run=(None, 400), other=("b", 400)), foreign="other"),
        Act.REPLACE,
        ("run",),
    ),
    "a foreign owner stands still, and a run is on its way": (
        decided([queued()], watched=watch(other=("b", 400)), foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a foreign owner beats, disabled": (
        decided(watched=watch(other=("b", 2)), enabled=False, foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a foreign owner stands still, disabled": (
        decided(watched=watch(other=("b", 400)), enabled=False, foreign="other"),
        Act.NOTHING,
        (),
    ),
    "a successor is wanted": (
        decided([started(wants_successor="x")], watched=watch(run=("b", 1))),
        Act.HAND_OVER,
        (),
    ),
    "a successor is wanted, but the feed is switched off": (
        decided([started(wants_successor="x")], watched=watch(run=("b", 1)), enabled=False),
        Act.NOTHING,
        (),
    ),
    "a successor is wanted, and on its way": (
        decided([queued("new"), started(wants_successor="x")], watched=watch(run=("b", 1))),
        Act.NOTHING,
        (),
    ),
    "a successor is wanted of a run that does not stream yet": (
        decided([started(wants_successor="x")], watched=watch(run=(None, 1))),
        Act.NOTHING,
        (),
    ),
    "a successor is wanted of a run that is dead": (
        decided([started(wants_successor="x")], watched=watch(run=("b", 400))),
        Act.REPLACE,
        ("run",),
    ),
    "a successor is wanted, the first was killed": (
        decided(
            [started(wants_successor="x")],
            [ended(ago=1, life=2, failed=True)._replace(follows_because="x")],
            watch(run=("b", 1)),
        ),
        Act.HAND_OVER,
        (),
    ),
    "a successor is wanted, three have failed": (
        decided(
            [started(wants_successor="x")],
            [ended(ago=1, life=2, failed=True)._replace(follows_because="x")] * 3,
            watch(run=("b", 1)),
        ),
        Act.NOTHING,
        (),
    ),
    "a successor is wanted again after three have failed": (
        decided(
            [started(wants_successor="y")],
            [ended(ago=1, life=2, failed=True)._replace(follows_because="x")] * 3,
            watch(run=("b", 1)),
        ),
        Act.HAND_OVER,
        (),
    ),
    "the code was reloaded": (
        decided([started()], watched=watch(run=("b", 1)), loaded_at=RELOADED, follows_reloads=True),
        Act.HAND_OVER,
        (),
    ),
    "the code was reloaded, which the feed does not follow": (
        decided([started()], watched=watch(run=("b", 1)), loaded_at=RELOADED),
        Act.NOTHING,
        (),
    ),
    "the code was reloaded before the run was launched": (
        decided(
            [started(created_at=RELOADED + 1)], watched=watch(run=("b", 1)), loaded_at=RELOADED, follows_reloads=True
        ),
        Act.NOTHING,
        (),
    ),
    "the predecessor is killed while its successor has no lease yet": (
        decided([started("new")], [ended(ago=1, failed=True)], watch(new=(None, 3)), follows_reloads=True),
        Act.NOTHING,
        (),
    ),
    "a foreign owner stands still, in a crash loop": (
        decided(finished=[ended(ago=1, life=1, failed=True)] * 3, watched=watch(other=("b", 400)), foreign="other"),
        Act.NOTHING,
        (),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decision(case: str) -> None:
    decision, act, dead = CASES[case]
    assert (decision.act, decision.dead) == (act, dead)


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (decided([started()], watched=watch(run=("b", 2))), "streaming"),
        (decided(enabled=False), "enable_feed"),
        (
            decided(finished=[ended(ago=600, life=2, failed=True, refused=True)]),
            "as soon as .env or feeds.yaml is changed",
        ),
        (decided(finished=[ended(ago=4, life=1, failed=True)] * 3), "retrying in 6 s"),
        (
            decided(watched=watch(other=("b", 2)), foreign="other"),
            "ingested by other, which is not a run of this Dagster instance; ",
        ),
        (decided(watched=watch(other=("b", 2)), enabled=False, foreign="other"), "enable_feed"),
        (decided([started("0123456789")], watched=watch(**{"0123456789": ("b", 400)})), "run 01234567 "),
    ],
)
def test_reason(decision: Decision, says: str) -> None:
    assert says in decision.reason


def test_a_clock_that_was_set_back_makes_no_run_wait() -> None:
    """The last runs ended hours in the future, as this machine's clock has it now."""
    failures = [ended(ago=5, life=1, failed=True)] * 4
    assert crash_wait(failures, now=NOW) == 15.0
    assert crash_wait(failures, now=NOW + 3600) == 0.0
    assert crash_wait(failures, now=NOW - 3600) == 0.0
    assert crash_wait([], now=NOW) == 0.0


def test_crash_delay_grows_to_its_cap() -> None:
    failure = ended(ago=1, life=1, failed=True)
    delays = [crash_delay([failure] * count) for count in range(13)]
    assert delays[:7] == [0.0, 0.0, 0.0, 10.0, 20.0, 40.0, 80.0]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY
    assert crash_delay([failure] * 10_000) == LONGEST_DELAY


@pytest.mark.parametrize("between", [ended(ago=9), ended(ago=9, life=1), ended(ago=9, failed=True)])
def test_crash_loop_is_over_after_a_run_that_worked(between: RunView) -> None:
    failure = ended(ago=1, life=1, failed=True)
    assert crash_delay([failure, failure, between, failure, failure, failure]) == 0.0


def test_failures_before_the_start_count() -> None:
    never_started = RunView("run", False, True, False, NOW - 5, None, NOW - 1)
    assert crash_delay([never_started] * 3) == 10.0


class Supervisor:
    """Looks at one run, and keeps its memory in a cursor only, as the sensor does."""

    def __init__(self) -> None:
        self.cursor: str | None = None

    def look(self, now: float, beat: str | None) -> bool:
        """Look once; returns whether the run is taken for dead."""
        watched = Watch.resume(self.cursor, now=now)
        watched = watched._replace(signs={"run": watched.look("run", beat)})
        self.cursor = watched.dump()
        return watched.is_dead("run")


def test_a_beating_run_is_never_dead() -> None:
    supervisor = Supervisor()
    assert not any(supervisor.look(NOW + 5 * turn, f"beat {turn}") for turn in range(200))


@pytest.mark.parametrize(("sign", "grace"), [(LOADING, LOADING_GRACE), (None, START_GRACE)])
def test_of_many_that_start_at_once_each_has_longer(sign: str | None, grace: float) -> None:
    """Fifty feeds, each of which takes three seconds of one of two processors."""
    crowd = [loading(f"run{number}") for number in range(50)]
    silent = {run.run_id: (sign, 90.0) for run in crowd}
    for run in crowd:
        assert decided([run], watched=watch(**silent)).act is Act.NOTHING
    silent = {**dict.fromkeys(silent, ("b", 1.0)), "run7": (sign, grace + 1), "run8": (sign, 1.0)}
    assert decided([loading("run7")], watched=watch(**silent)).act is Act.REPLACE, "the others stream"


@pytest.mark.parametrize(("beat", "grace"), [("a beat", HEARTBEAT_GRACE), (None, START_GRACE)])
def test_a_silent_run_is_dead_after_its_grace(beat: str | None, grace: float) -> None:
    supervisor = Supervisor()
    dead_after = next(turn * 5 for turn in range(100) if supervisor.look(NOW + 5 * turn, beat))
    assert grace < dead_after <= grace + 5


def test_outage_of_the_database_makes_no_healthy_run_look_dead() -> None:
    """While the database is away nobody looks and nobody beats; afterwards a run has time for its next heartbeat."""
    supervisor = Supervisor()
    supervisor.look(NOW, "before")
    supervisor.look(NOW + 5, "before")
    back = NOW + 5 + 7200
    assert not supervisor.look(back, "before")
    assert not supervisor.look(back + 5, "before")
    assert not supervisor.look(back + 10, "after")


def test_outage_at_the_start_makes_no_waiting_run_look_dead() -> None:
    """A run waits for the database as long as it takes, and has no lease until then."""
    supervisor = Supervisor()
    supervisor.look(NOW, None)
    assert not supervisor.look(NOW + 7200, None)
    assert not supervisor.look(NOW + 7205, "first")


def test_a_run_that_died_in_an_outage_is_found_afterwards() -> None:
    supervisor = Supervisor()
    supervisor.look(NOW, "last")
    looks = [supervisor.look(NOW + 7200 + 5 * turn, "last") for turn in range(6)]
    assert looks[-1]
    assert not looks[0]


def test_rare_looks_find_the_dead_too() -> None:
    """A slow daemon looks less often; then it takes longer, but not for ever."""
    supervisor = Supervisor()
    looks = [supervisor.look(NOW + 60 * turn, "last") for turn in range(8)]
    assert looks.index(True) == HEARTBEAT_GRACE // LONGEST_STEP + 1


def test_losing_the_lease_gives_time_to_end() -> None:
    """A run whose feed was taken over ends by itself; it is dead only if it does not."""
    supervisor = Supervisor()
    supervisor.look(NOW, "beat")
    looks = [supervisor.look(NOW + 5 + 5 * turn, None) for turn in range(20)]
    assert looks.index(True) * 5 > START_GRACE


class Neighbour:
    """Looks at an owner that is not a run of this instance, and keeps its memory in a cursor only."""

    def __init__(self) -> None:
        self.cursor: str | None = None

    def look(self, now: float, beat: str, age: float) -> bool:
        """Look once, at a heartbeat and its age by the database's clock; returns whether the owner is left alone."""
        watched = Watch.resume(self.cursor, now=now)
        watched = watched._replace(signs={"other": watched.look("other", beat, age=age)})
        self.cursor = watched.dump()
        return decided(watched=watched, foreign="other").act is Act.NOTHING


@pytest.mark.parametrize("age", [HEARTBEAT_GRACE + 0.1, 86_400.0])
def test_heartbeat_that_is_stale_at_first_sight_costs_no_time(age: float) -> None:
    assert not Neighbour().look(NOW, "beat", age)


@pytest.mark.parametrize("age", [0.0, 2.0, 17.0, HEARTBEAT_GRACE])
def test_owner_that_is_dead_already_delays_by_what_is_left_of_the_grace(age: float) -> None:
    """As after the history of this instance was deleted."""
    neighbour = Neighbour()
    delay = next(turn for turn in range(100) if not neighbour.look(NOW + turn, "beat", age + turn))
    assert HEARTBEAT_GRACE - age < delay <= HEARTBEAT_GRACE - age + 1


def test_owner_that_beats_is_left_alone_for_ever() -> None:
    neighbour = Neighbour()
    assert all(neighbour.look(NOW + 5 * turn, f"beat {turn}", 2.0) for turn in range(200))


def test_owner_whose_heartbeats_come_late_but_come_is_left_alone() -> None:
    """A large batch: its heartbeat is as old as its transaction when it becomes visible."""
    neighbour = Neighbour()
    neighbour.look(NOW, "first", 1.0)
    assert all(neighbour.look(NOW + 5 * turn, f"beat {turn // 5}", 40.0) for turn in range(1, 50))


def test_outage_of_the_database_gives_an_owner_time_for_its_next_heartbeat() -> None:
    neighbour = Neighbour()
    neighbour.look(NOW, "before", 1.0)
    assert neighbour.look(NOW + 7200, "before", 7201.0)
    assert neighbour.look(NOW + 7205, "before", 7206.0)
    assert neighbour.look(NOW + 7210, "after", 1.0)


def test_database_clock_set_back_gives_no_more_than_the_grace() -> None:
    neighbour = Neighbour()
    looks = [neighbour.look(NOW + 5 * turn, "beat", 5.0 * turn - 86_400) for turn in range(20)]
    assert HEARTBEAT_GRACE < looks.index(False) * 5 <= HEARTBEAT_GRACE + 5


def test_every_owner_has_a_grace_of_its_own() -> None:
    watched = watch(one=("b", 400))
    assert watched.look("another", "b", age=3.0) == Sign("b", CLOCK - 3)
    assert watched.look("one", "b", age=3.0) == Sign("b", CLOCK - 400)
    assert watched.look("one", "c", age=3.0) == Sign("c", CLOCK)


def test_clock_set_back_kills_nothing() -> None:
    supervisor = Supervisor()
    supervisor.look(NOW, "beat")
    assert not supervisor.look(NOW - 86_400, "beat")
    assert not supervisor.look(NOW - 86_395, "beat")


def test_cursor_round_trip() -> None:
    watched = watch(run=("2026-01-01T00:00:00+00:00", 7), other=(None, 3))
    assert Watch.resume(watched.dump(), now=NOW) == watched


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        "",
        "no json",
        "{}",
        "5",
        "[1, 2]",
        '["a", "b", {}]',
        '{"stocks": ["o", "v", 1]}',
        "[1, 2, [3]]",
        json.dumps([NOW, 1.0, {"run": ["b"]}]),
        json.dumps([NOW, 1.0, {"run": 5}]),
    ],
)
def test_unusable_cursor_begins_anew(cursor: str | None) -> None:
    assert Watch.resume(cursor, now=NOW) == Watch(NOW, 0.0, {})
