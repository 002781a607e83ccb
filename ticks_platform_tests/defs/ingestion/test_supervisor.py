"""The supervisor as Dagster evaluates it: on an instance's runs and a real database."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.events import EngineEventData, JobFailureData, RunFailureReason
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from ticks_platform.defs.common.runs import FEED_TAG, FEEDS_TAG, FOLLOW_TAG, REFUSED_TAG, SUCCESSOR_TAG
from ticks_platform.defs.ingestion import room
from ticks_platform.defs.ingestion import supervisor as supervisor_module
from ticks_platform.defs.ingestion.decisions import ATTEMPTS, FOLLOW_GRACE, HEARTBEAT_GRACE, LOADING_GRACE, START_GRACE
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion import switch
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.dagster import take_over
from ticks_platform_tests.support.timing import within

UNREACHABLE = "postgresql://someone:s3cr3t-word@127.0.0.1:1/ticks"
TURN = 5.0
"""Seconds of Dagster's sensor loop."""

LONG = int(max(FOLLOW_GRACE, HEARTBEAT_GRACE) / TURN) + 3
"""Turns that take longer than anything which the supervisor waits for."""


class Supervisor:
    """The sensor, its cursor, and a clock that goes on by one turn of Dagster's loop with every tick."""

    def __init__(self, platform: dg.Definitions, instance: dg.DagsterInstance, clock: SimpleNamespace) -> None:
        self.platform = platform
        self.instance = instance
        self.clock = clock
        self.cursor: str | None = None

    def tick(self) -> Any:
        """One tick; what it requests is not launched."""
        sensor = self.platform.resolve_sensor_def("platform_supervisor")
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.platform.get_repository_def(),
            resources=self.platform.resources,
        ) as context:
            answer = sensor.evaluate_tick(context)
        self.cursor = answer.cursor
        self.clock.now += TURN
        return answer

    def start(self, feed: str, **tags: str) -> str:
        """A run of the feed that is STARTED; its id."""
        job = self.platform.resolve_job_def("ingest")
        run = self.instance.create_run_for_job(job, tags={FEED_TAG: feed, **tags})
        self.report(run.run_id, dg.DagsterEventType.RUN_START)
        assert self.status(run.run_id) is dg.DagsterRunStatus.STARTED
        return run.run_id

    def begin(self, feed: str) -> str:
        """A run of the feed whose process has begun and loads the code; its id."""
        job = self.platform.resolve_job_def("ingest")
        run = self.instance.create_run_for_job(job, tags={FEED_TAG: feed}, status=dg.DagsterRunStatus.STARTING)
        self.instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(os.getpid()))
        return run.run_id

    def report(self, run_id: str, event: dg.DagsterEventType) -> None:
        self.instance.report_dagster_event(dg.DagsterEvent(event_type_value=event.value, job_name="ingest"), run_id)

    def fail(self, run_id: str) -> None:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        self.instance.report_run_failed(run, "for the test")

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The sensor's clock."""
    clock = SimpleNamespace(now=time.time())
    monkeypatch.setattr(supervisor_module, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def supervisor(platform: dg.Definitions, instance: dg.DagsterInstance, clock: SimpleNamespace) -> Supervisor:
    return Supervisor(platform, instance, clock)


@pytest.fixture
def up(database: Database, supervisor: Supervisor) -> Supervisor:
    """The supervisor of a platform that was brought up: its tables are there, and its assets were seen."""
    for spec in supervisor.platform.resolve_all_asset_specs():
        supervisor.instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=spec.key))
    return supervisor


@pytest.fixture
def take_lease(database: Database) -> Callable[[str, str], leases.Lease]:
    def take(feed: str, owner: str) -> leases.Lease:
        with database.transaction() as cursor:
            return take_over(cursor, feed, synthetic=True, owner=owner)

    return take


def requested(answer: Any) -> list[tuple[str, str | None]]:
    return [(request.job_name, request.partition_key) for request in answer.run_requests or []]


@pytest.mark.usefixtures("empty_database")
def test_empty_database_is_brought_up_once(supervisor: Supervisor) -> None:
    assert requested(supervisor.tick()) == [("bring_up", None)]
    job = supervisor.platform.resolve_job_def("bring_up")
    run = supervisor.instance.create_run_for_job(job)
    for _ in range(3):
        answer = supervisor.tick()
        assert requested(answer) == []
        assert "not created yet: stocks_real_time" in answer.skip_message
    supervisor.fail(run.run_id)
    assert requested(supervisor.tick()) == [("bring_up", None)]


@pytest.mark.usefixtures("empty_database")
def test_bringing_up_that_fails_again_and_again_is_tried_ever_less_often(supervisor: Supervisor) -> None:
    job = supervisor.platform.resolve_job_def("bring_up")
    launched = 0
    for _ in range(60):
        for _request in supervisor.tick().run_requests or []:
            launched += 1
            supervisor.fail(supervisor.instance.create_run_for_job(job).run_id)
    # Real time does not go on: what counts is the end of the last run, up to 300 s before the sensor's clock.
    assert 3 <= launched <= 8


def test_new_instance_on_an_old_database_is_brought_up_too(database: Database, supervisor: Supervisor) -> None:
    """Otherwise the assets would look as if they had never been made. The feeds need not wait for that."""
    assert requested(supervisor.tick()) == [("bring_up", None), ("ingest", "stocks"), ("ingest", "crypto")]


def test_each_feed_gets_a_run(up: Supervisor) -> None:
    answer = up.tick()
    assert requested(answer) == [("ingest", "stocks"), ("ingest", "crypto")]
    assert [request.tags[FEED_TAG] for request in answer.run_requests] == ["stocks", "crypto"]
    assert [request.tags["dagster/partition"] for request in answer.run_requests] == ["stocks", "crypto"]
    assert {request.run_key for request in answer.run_requests} == {None}, "a run key would be remembered for ever"
    assert answer.skip_message is None


@pytest.mark.usefixtures("database")
def test_run_has_the_tags_of_its_feed(
    project: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance, clock: SimpleNamespace
) -> None:
    """One that the supervisor requests, and one that is launched by hand, with the feed as its partition."""
    feeds = yaml.safe_load((project / "feeds.yaml").read_text(encoding="utf-8"))
    pod = {"pod_spec_config": {"node_selector": {"pool": "feeds"}}}
    feeds["feeds"]["stocks"]["run_tags"] = {"dagster-celery/queue": "feeds", "dagster-k8s/config": pod}
    (project / "feeds.yaml").write_text(yaml.safe_dump(feeds), encoding="utf-8")
    platform = load()
    requests = Supervisor(platform, instance, clock).tick().run_requests
    job = platform.resolve_job_def("ingest")
    for feed in ("stocks", "crypto"):
        (requested,) = (request.tags for request in requests if request.partition_key == feed)
        for tags in (requested, job.get_tags_for_partition_key(feed, selected_asset_keys=None)):
            assert tags[FEED_TAG] == feed
            found = {key: value for key, value in tags.items() if key.startswith("dagster-")}
            wanted = {"dagster-celery/queue": "feeds", "dagster-k8s/config": json.dumps(pod)}
            assert found == (wanted if feed == "stocks" else {})


def test_run_that_beats_is_left_alone(up: Supervisor, database: Database, take_lease: Callable[..., Any]) -> None:
    held = {feed: take_lease(feed, up.start(feed)) for feed in ("stocks", "crypto")}
    for _ in range(LONG):
        with database.transaction() as cursor:
            for lease in held.values():
                leases.renew(cursor, lease)
        answer = up.tick()
        assert requested(answer) == []
        assert answer.skip_message == "stocks: streaming; crypto: streaming"


@pytest.mark.parametrize(
    "status", ["QUEUED", *(pytest.param(status, marks=pytest.mark.full) for status in ("NOT_STARTED", "STARTING"))]
)
def test_run_on_its_way_is_waited_for(up: Supervisor, status: str) -> None:
    """Run monitoring fails those that never start."""
    job = up.platform.resolve_job_def("ingest")
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ticks_platform"), "__repository__")
    for feed in ("stocks", "crypto"):
        up.instance.create_run_for_job(
            job,
            tags={FEED_TAG: feed},
            status=dg.DagsterRunStatus[status],
            remote_job_origin=location.get_job_origin("ingest"),
        )
    assert all(requested(up.tick()) == [] for _ in range(LONG))


def test_run_that_is_to_be_handed_over_gets_one_successor(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    """It goes on beside it; when a successor is killed, another one is launched, but not for ever."""
    held = [take_lease("crypto", up.start("crypto"))]
    run = up.start("stocks")
    held.append(take_lease("stocks", run))

    def tick() -> Any:
        for lease in held:
            beat(database, lease)
        return up.tick()

    assert requested(tick()) == []
    up.instance.add_run_tags(run, {SUCCESSOR_TAG: "asked for by run x"})
    for _ in range(ATTEMPTS):
        answer = tick()
        assert requested(answer) == [("ingest", "stocks")]
        (request,) = answer.run_requests
        assert request.tags[FOLLOW_TAG] == "asked for by run x"
        successor = up.start("stocks", **{FOLLOW_TAG: request.tags[FOLLOW_TAG]})
        assert [requested(tick()) for _ in range(4)] == [[]] * 4
        up.fail(successor)
    assert requested(tick()) == []
    assert "3 runs could not follow" in up.tick().skip_message
    up.instance.add_run_tags(run, {SUCCESSOR_TAG: "asked for by run y"})
    assert requested(tick()) == [("ingest", "stocks")]
    successor = up.start("stocks", **{FOLLOW_TAG: "asked for by run y"})
    held[1] = take_lease("stocks", successor)
    up.report(run, dg.DagsterEventType.RUN_SUCCESS)
    assert [requested(tick()) for _ in range(4)] == [[]] * 4
    assert up.status(successor) is dg.DagsterRunStatus.STARTED


def test_runs_follow_a_reload_of_the_code(
    up: Supervisor, database: Database, take_lease: Callable[..., Any], load: Callable[[], dg.Definitions]
) -> None:
    held = [take_lease(feed, up.start(feed)) for feed in ("stocks", "crypto")]
    for lease in held:
        beat(database, lease)
    assert requested(up.tick()) == []
    up.platform = load()
    for lease in held:
        beat(database, lease)
    assert requested(up.tick()) == [("ingest", "stocks"), ("ingest", "crypto")]
    for feed in ("stocks", "crypto"):
        up.start(feed)
    assert requested(up.tick()) == []


def test_run_of_a_machine_that_lost_power_is_replaced(
    up: Supervisor, take_lease: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Dagster leaves it STARTED for ever. It is declared failed in the tick that requests another one."""
    up.start("crypto")
    dead = up.start("stocks")
    take_lease("stocks", dead)
    quiet = 0
    while not requested(answer := up.tick()):
        assert up.status(dead) is dg.DagsterRunStatus.STARTED
        quiet += 1
        assert quiet < 100
    assert requested(answer) == [("ingest", "stocks")]
    assert up.status(dead) is dg.DagsterRunStatus.FAILURE
    assert f"feed 'stocks': run {dead[:8]} was killed, or hung" in caplog.text
    assert HEARTBEAT_GRACE < quiet * TURN <= HEARTBEAT_GRACE + TURN
    said = [entry.dagster_event.message or "" for entry in up.instance.all_logs(dead) if entry.dagster_event]
    assert any("no heartbeat for more than 30 s" in message for message in said)


def test_run_that_never_takes_its_lease_is_replaced(up: Supervisor, take_lease: Callable[..., Any]) -> None:
    take_lease("stocks", "another owner")
    dead = up.start("stocks")
    up.start("crypto")
    ticks = [requested(up.tick()) for _ in range(int(START_GRACE / TURN) + 1)]
    assert not any(ticks), f"it has {START_GRACE} s"
    assert ("ingest", "stocks") in requested(up.tick())
    assert up.status(dead) is dg.DagsterRunStatus.FAILURE


def test_run_whose_machine_is_lost_before_it_is_started_is_replaced(
    up: Supervisor, take_lease: Callable[..., Any]
) -> None:
    """Dagster would wait for two minutes. One whose process has not begun may wait for a worker for that long."""
    take_lease("crypto", up.start("crypto"))
    dead = up.begin("stocks")
    turns = [requested(up.tick()) for _ in range(int(LOADING_GRACE / TURN) + 1)]
    assert not any(turns), f"it has {LOADING_GRACE} s"
    assert ("ingest", "stocks") in requested(up.tick())
    assert up.status(dead) is dg.DagsterRunStatus.FAILURE
    said = [entry.dagster_event.message or "" for entry in up.instance.all_logs(dead) if entry.dagster_event]
    assert any("its process did not load the code within 35 s" in message for message in said)


def test_run_that_waits_for_a_worker_is_waited_for(up: Supervisor, take_lease: Callable[..., Any]) -> None:
    take_lease("crypto", up.start("crypto"))
    job = up.platform.resolve_job_def("ingest")
    run = up.instance.create_run_for_job(job, tags={FEED_TAG: "stocks"}, status=dg.DagsterRunStatus.STARTING)
    up.instance.report_engine_event("Creating Celery run worker job task", run)
    assert ("ingest", "stocks") not in [each for _ in range(LONG) for each in requested(up.tick())]
    assert up.status(run.run_id) is dg.DagsterRunStatus.STARTING


def test_dead_run_beside_its_successor(up: Supervisor, database: Database, take_lease: Callable[..., Any]) -> None:
    """The dead one is declared failed, and nothing is launched: the feed has its run."""
    dead, alive = up.start("stocks"), up.start("stocks")
    held = [take_lease("stocks", alive), take_lease("crypto", up.start("crypto"))]
    for _ in range(20):
        with database.transaction() as cursor:
            for lease in held:
                leases.renew(cursor, lease)
        assert requested(up.tick()) == []
    assert up.status(dead) is dg.DagsterRunStatus.FAILURE
    assert up.status(alive) is dg.DagsterRunStatus.STARTED


def beat(database: Database, lease: leases.Lease) -> None:
    with database.transaction() as cursor:
        leases.renew(cursor, lease)


def silence(database: Database, feed: str, seconds: float) -> None:
    """As if the last heartbeat had been so long ago."""
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_lease SET heartbeat_at = clock_timestamp() - make_interval(secs => %s) "
            "WHERE feed = %s",
            (seconds, feed),
        )


@pytest.mark.parametrize("owner", [str(uuid.uuid4()), f"replay {uuid.uuid4()}"], ids=["run", "replay"])
def test_feed_that_somebody_else_ingests_is_left_alone(
    up: Supervisor, database: Database, take_lease: Callable[..., Any], owner: str
) -> None:
    """A run of another Dagster instance, or a replay."""
    lease = take_lease("stocks", owner)
    for _ in range(LONG):
        beat(database, lease)
        answer = up.tick()
        assert requested(answer) == [("ingest", "crypto")]
    up.start("crypto")
    said = up.tick().skip_message
    assert f"stocks: ingested by {owner}, which is not a run of this Dagster instance; " in said


def test_somebody_else_who_gives_the_feed_up_is_followed(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    up.start("crypto")
    lease = take_lease("stocks", "replay of something")
    assert requested(up.tick()) == []
    with database.transaction() as cursor:
        leases.release(cursor, lease)
    assert requested(up.tick()) == [("ingest", "stocks")]


def test_somebody_else_who_falls_silent_is_replaced(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    alive = take_lease("crypto", up.start("crypto"))
    lease = take_lease("stocks", "another instance's run")
    for _ in range(5):
        beat(database, lease)
        assert requested(up.tick()) == []
    quiet = 0
    while not requested(up.tick()):
        beat(database, alive)
        quiet += 1
        assert quiet < 100
    assert HEARTBEAT_GRACE - TURN < quiet * TURN <= HEARTBEAT_GRACE + TURN


def test_run_of_a_deleted_history_delays_the_start_by_the_rest_of_the_grace(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    up.start("crypto")
    take_lease("stocks", "a run that nobody remembers")
    silence(database, "stocks", 17.0)
    ticks = [requested(up.tick()) for _ in range(4)]
    assert ticks == [[], [], [], [("ingest", "stocks")]]


def test_run_of_a_deleted_history_that_ended_long_ago_delays_nothing(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    up.start("crypto")
    take_lease("stocks", "a run that nobody remembers")
    silence(database, "stocks", HEARTBEAT_GRACE + 1)
    assert requested(up.tick()) == [("ingest", "stocks")]


def test_own_run_that_was_killed_is_replaced_at_once(
    up: Supervisor, take_lease: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It has not given the feed up, and its heartbeat is fresh; but its end is known here, and said."""
    up.start("crypto")
    killed = up.start("stocks")
    take_lease("stocks", killed)
    up.fail(killed)
    up.clock.now = time.time()
    assert requested(up.tick()) == [("ingest", "stocks")]
    assert [record.getMessage() for record in caplog.records if "killed" in record.getMessage()] == [
        f"feed 'stocks': run {killed[:8]} was killed, or hung; another one is launched, and loads what that one left "
        "in its journal"
    ]
    # One that failed by itself has said why.
    failed = up.start("stocks")
    why = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
    run = up.instance.get_run_by_id(failed)
    assert run is not None
    up.instance.report_run_failed(run, job_failure_data=why)
    up.clock.now = time.time()
    caplog.clear()
    assert requested(up.tick()) == [("ingest", "stocks")]
    assert "killed" not in caplog.text


def test_two_instances_settle_on_one_run_a_feed(
    up: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    """Both saw a feed without a run, and both launched one: the later one keeps it, and neither launches any more."""
    with dg.DagsterInstance.ephemeral() as second:
        for spec in up.platform.resolve_all_asset_specs():
            second.report_runless_asset_event(dg.AssetMaterialization(asset_key=spec.key))
        other = Supervisor(up.platform, second, SimpleNamespace(now=up.clock.now))
        for instance in (up, other):
            assert ("ingest", "stocks") in requested(instance.tick())
            instance.start("crypto")
        first, later = up.start("stocks"), other.start("stocks")
        take_lease("stocks", first)
        kept = take_lease("stocks", later)
        up.fail(first)  # it finds that it was taken over
        for _ in range(int(START_GRACE / TURN)):
            beat(database, kept)
            assert [requested(up.tick()), requested(other.tick())] == [[], []]
        assert other.status(later) is dg.DagsterRunStatus.STARTED


def test_outage_of_the_database_kills_no_run(
    up: Supervisor, take_lease: Callable[..., Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [up.start(feed) for feed in ("stocks", "crypto")]
    for feed, run_id in zip(("stocks", "crypto"), runs, strict=True):
        take_lease(feed, run_id)
    up.tick()
    cursor = up.cursor
    monkeypatch.setenv("TICKS_DATABASE_URL", UNREACHABLE)
    for _ in range(3):
        assert "cannot be reached" in up.tick().skip_message
        assert up.cursor == cursor
    up.clock.now += 3600
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)
    assert requested(up.tick()) == []
    assert requested(up.tick()) == []
    assert {up.status(run_id) for run_id in runs} == {dg.DagsterRunStatus.STARTED}


def test_switched_off_feed_is_left_alone(up: Supervisor, database: Database) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=False)
    assert requested(up.tick()) == [("ingest", "crypto")]
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
    assert requested(up.tick()) == [("ingest", "stocks"), ("ingest", "crypto")]


def test_all_switched_off_says_how_to_switch_on(up: Supervisor, database: Database) -> None:
    with database.transaction() as cursor:
        for feed in ("stocks", "crypto"):
            switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=False)
    answer = up.tick()
    assert requested(answer) == []
    assert "stocks: switched off; the job enable_feed switches it on" in answer.skip_message


def test_refused_feed_waits_for_a_reload(up: Supervisor, load: Callable[[], dg.Definitions]) -> None:
    refused = up.start("stocks", **{REFUSED_TAG: "true"})
    up.fail(refused)
    up.start("crypto")
    answer = up.tick()
    assert requested(answer) == []
    assert "stocks: refused" in answer.skip_message
    up.platform = load()
    assert requested(up.tick()) == [("ingest", "stocks")]


def test_refused_feed_is_tried_again_once_a_key_is_corrected(up: Supervisor, project: Path) -> None:
    up.fail(up.start("stocks", **{REFUSED_TAG: "true"}))
    up.start("crypto")
    assert requested(up.tick()) == []
    # Written after the run was launched, by the same clock.
    (project / ".env").write_text("TICKS_TEST_KEY=right\n", encoding="utf-8")
    os.utime(project / ".env", (time.time() + 5, time.time() + 5))
    assert requested(up.tick()) == [("ingest", "stocks")]


def test_no_run_is_launched_that_could_not_read_its_settings(
    up: Supervisor, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Runs that stream go on; that nothing begins, and why, is said once."""
    up.start("stocks")
    file = project / "feeds.yaml"
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace("symbols:", "simbols:"), encoding="utf-8")

    def said(words: str) -> int:
        return sum(words in record.getMessage() for record in caplog.records if record.levelname == "WARNING")

    for _ in range(4):
        answer = up.tick()
        assert requested(answer) == []
        assert "crypto: no run can begin until this is corrected" in answer.skip_message
        assert "simbols" in answer.skip_message
    assert "stocks: streaming" in answer.skip_message
    assert said("simbols") == 1
    (project / ".env").write_text("=", encoding="utf-8")
    file.write_text(right, encoding="utf-8")
    answer = up.tick()
    assert requested(answer) == []
    assert ".env" in answer.skip_message
    assert said("feeds.yaml can be read again") == 1
    (project / ".env").unlink()
    assert requested(up.tick()) == [("ingest", "crypto")]


def test_runs_of_feeds_that_leave_no_room_for_others_are_told(tmp_path: Path) -> None:
    queue = {"concurrency": {"runs": {"max_concurrent_runs": room.OTHERS + 2}}}
    with dg.instance_for_test(overrides=queue, temp_dir=str(tmp_path)) as instance:
        assert room.lack_of_room(instance, 2) is None
        words = room.lack_of_room(instance, 3) or ""
    assert words.startswith("3 runs of feeds never end, and at most 12 runs are executed at once")
    assert "max_concurrent_runs in dagster.yaml to 13 or more" in words


def test_no_room_is_said_once_and_stays_in_the_evaluations(
    up: Supervisor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "lack_of_room", lambda _instance, runs: f"no room for {runs} runs")
    for feed in ("stocks", "crypto"):
        up.start(feed)
    answers = [up.tick().skip_message for _ in range(3)]
    assert all("no room for 2 runs; stocks: streaming" in answer for answer in answers)
    assert [record.getMessage() for record in caplog.records].count("no room for 2 runs") == 1


def test_a_feed_that_is_gone_from_feeds_yaml_gets_no_run(up: Supervisor, project: Path) -> None:
    """Its run has ended by itself; another one would fail."""
    content = yaml.safe_load((project / "feeds.yaml").read_text(encoding="utf-8"))
    del content["feeds"]["crypto"]
    (project / "feeds.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert requested(up.tick()) == [("ingest", "stocks")]
    up.start("stocks")
    assert "crypto: no longer in feeds.yaml" in up.tick().skip_message


def test_crash_loop_is_slowed_down(up: Supervisor) -> None:
    up.start("crypto")
    for _ in range(2):
        assert requested(up.tick()) == [("ingest", "stocks")]
        up.fail(up.start("stocks"))
    assert requested(up.tick()) == [("ingest", "stocks")]
    up.fail(up.start("stocks"))
    up.clock.now = time.time()
    answer = up.tick()
    assert requested(answer) == []
    assert "stocks: crash loop; retrying in " in answer.skip_message
    assert requested(up.tick()) == []
    assert requested(up.tick()) == [("ingest", "stocks")]


def test_unreachable_database_is_a_reason_to_skip(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", UNREACHABLE)
    answer = supervisor.tick()
    assert requested(answer) == []
    assert "cannot be reached" in answer.skip_message
    assert "127.0.0.1:1" in answer.skip_message
    assert "s3cr3t-word" not in answer.skip_message


def test_cursor_round_trip(up: Supervisor, take_lease: Callable[..., Any]) -> None:
    """What one tick remembers the next one goes on from, also through ticks that request runs."""
    run_id = up.start("stocks")
    take_lease("stocks", run_id)
    up.tick()
    first = up.cursor
    assert first is not None
    assert run_id in first
    up.tick()
    assert up.cursor is not None
    assert up.cursor != first
    assert run_id in up.cursor


def test_unusable_cursor_is_begun_anew(up: Supervisor, take_lease: Callable[..., Any]) -> None:
    """Somebody may have edited it in the UI."""
    take_lease("stocks", up.start("stocks"))
    up.start("crypto")
    up.cursor = '{"stocks": ["owner", "2026-01-01", 5]}'
    assert requested(up.tick()) == []
    assert up.cursor != '{"stocks": ["owner", "2026-01-01", 5]}'


GROUPED = {"stocks": {"group": "small"}, "crypto": {"group": "small"}}


def write_groups(project: Path, settings: dict[str, dict[str, Any]]) -> None:
    """Give the feeds of the project these settings, beside those that they have."""
    feeds = yaml.safe_load((project / "feeds.yaml").read_text(encoding="utf-8"))
    for name, more in settings.items():
        feeds["feeds"][name] = {
            **{"provider": "twelve_data", "endpoint": "stand-in", "symbols": [name]},
            **feeds["feeds"].get(name, {}),
            **more,
        }
    (project / "feeds.yaml").write_text(yaml.safe_dump(feeds, sort_keys=False), encoding="utf-8")


@pytest.fixture
def grouped(project: Path, load: Callable[[], dg.Definitions], up: Supervisor) -> Supervisor:
    """The supervisor of two feeds that share a run."""
    write_groups(project, GROUPED)
    up.platform = load()
    return up


def start_group(supervisor: Supervisor, feeds: str = "stocks, crypto", **tags: str) -> str:
    return supervisor.start("small", **{FEEDS_TAG: feeds, **tags})


def enable(database: Database, feed: str, enabled: bool) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=enabled)


def test_a_group_gets_one_run(grouped: Supervisor, database: Database, take_lease: Callable[..., Any]) -> None:
    """It is alive as long as one of its feeds is heard of, and says which feeds it has."""
    (request,) = grouped.tick().run_requests
    assert (request.partition_key, request.tags[FEED_TAG]) == ("small", "small")
    assert request.tags[FEEDS_TAG] == "stocks, crypto"
    job = grouped.platform.resolve_job_def("ingest")
    by_hand = job.get_tags_for_partition_key("small", selected_asset_keys=None)
    assert {key: by_hand[key] for key in (FEED_TAG, FEEDS_TAG)} == {FEED_TAG: "small", FEEDS_TAG: "stocks, crypto"}
    run = start_group(grouped)
    crypto = [take_lease(feed, run) for feed in ("stocks", "crypto")][1]
    for _ in range(LONG):
        beat(database, crypto)
        assert requested(grouped.tick()) == []
    for _ in range(LONG):
        if requested(grouped.tick()) == [("ingest", "small")]:
            break
    assert grouped.status(run) is dg.DagsterRunStatus.FAILURE, "none of them was heard of"


def test_a_group_is_switched_off_when_all_its_feeds_are(grouped: Supervisor, database: Database) -> None:
    enable(database, "stocks", False)
    assert requested(grouped.tick()) == [("ingest", "small")]
    enable(database, "crypto", False)
    answer = grouped.tick()
    assert requested(answer) == []
    assert "small: switched off" in answer.skip_message


def test_a_group_of_which_somebody_else_has_all_feeds_is_left_alone(
    grouped: Supervisor, database: Database, take_lease: Callable[..., Any]
) -> None:
    held = [take_lease("stocks", "ticks ingest, one")]
    beat(database, held[0])
    assert requested(grouped.tick()) == [("ingest", "small")], "its run streams the other feed"
    held.append(take_lease("crypto", "ticks ingest, two"))
    for lease in held:
        beat(database, lease)
    answer = grouped.tick()
    assert requested(answer) == []
    assert "which is not a run of this Dagster instance" in answer.skip_message


def test_a_refused_group_is_launched_again_when_a_feed_that_was_not_refused_is_enabled(
    grouped: Supervisor, database: Database
) -> None:
    enable(database, "crypto", False)
    run = start_group(grouped)
    grouped.instance.add_run_tags(run, {REFUSED_TAG: "stocks"})
    grouped.fail(run)
    answer = grouped.tick()
    assert requested(answer) == []
    assert "small: refused" in answer.skip_message
    enable(database, "crypto", True)
    assert requested(grouped.tick()) == [("ingest", "small")]


def test_a_run_of_other_feeds_than_the_group_has_now_is_handed_over(
    grouped: Supervisor,
    database: Database,
    take_lease: Callable[..., Any],
    project: Path,
    load: Callable[[], dg.Definitions],
) -> None:
    """After a reload of the code, also where runs do not follow reloads. A feed that left the group gets a run."""
    write_groups(project, {name: {"hand_over_on_reload": False} for name in GROUPED})
    run = start_group(grouped)
    held = [take_lease(feed, run) for feed in ("stocks", "crypto")]

    def reload() -> Any:
        grouped.platform = load()
        for lease in held:
            beat(database, lease)
        return grouped.tick()

    assert requested(reload()) == [], "a reload alone hands over nothing"
    write_groups(project, {"forex": {"group": "small", "hand_over_on_reload": False}})
    answer = reload()
    assert requested(answer) == [("ingest", "small")]
    (request,) = answer.run_requests
    assert request.tags[FOLLOW_TAG] == "the feeds of group 'small' are now stocks, crypto, forex"
    assert request.tags[FEEDS_TAG] == "stocks, crypto, forex"
    start_group(grouped, request.tags[FEEDS_TAG], **{FOLLOW_TAG: request.tags[FOLLOW_TAG]})
    assert requested(reload()) == []
    write_groups(project, {"crypto": {"group": None}})
    assert requested(reload()) == [("ingest", "crypto")]


@pytest.mark.full
def test_a_look_at_fifty_feeds_takes_less_than_half_a_second(
    project: Path, load: Callable[[], dg.Definitions], up: Supervisor, take_lease: Callable[..., Any]
) -> None:
    """Each in a run of its own: Dagster's loop comes back every five seconds, to all sensors."""
    names = [f"feed_{number}" for number in range(50)]
    write_groups(project, {name: {"symbols": [f"{name}/USD"]} for name in names})
    up.platform = load()
    for name in ("stocks", "crypto", *names):
        take_lease(name, up.start(name))
    assert requested(up.tick()) == []

    def look() -> float:
        up.clock.now -= TURN  # none of them falls silent, however often it is measured
        began = time.perf_counter()
        assert "feed_49: streaming" in up.tick().skip_message
        return time.perf_counter() - began

    within(0.5, look)
