"""The ingestion job and its switches, executed in process against a stand-in and a real database."""

from __future__ import annotations

import itertools
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy

from ticks_platform import env_file
from ticks_platform.defs.common.runs import FEED_TAG, FOLLOW_TAG, REFUSED_TAG, SUCCESSOR_TAG
from ticks_platform.defs.ingestion import ingest, progress
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import load_settings
from ticks_platform.feeds.transport import reconnect
from ticks_platform.ingestion import loader, switch
from ticks_platform.ingestion.handover import takeover
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal.journal_pair import journal_pair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.local_feeds import stand_in_file
from ticks_platform.paths import journal_path
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.dagster import take_over
from ticks_platform_tests.support.ingestion import damage_group
from ticks_standin import StandIn, StandInSettings, daemon

Execute = Callable[..., dg.ExecuteInProcessResult]


def write_feeds(project: Path, url: str, symbols: str = "{AAPL: Apple, MSFT: Microsoft}") -> None:
    (project / "feeds.yaml").write_text(
        f"feeds: {{stocks: {{provider: twelve_data, endpoint: '{url}', api_key_env: TICKS_TEST_KEY, "
        f"symbols: {symbols}}}}}",
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def one_instance() -> Iterator[dg.DagsterInstance]:
    """An instance on disk: several threads write to it here, and in memory one of them may find a table locked."""
    # Output of runs is not looked at, and to capture it takes two processes a run.
    no_output = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with dg.instance_for_test(overrides={"compute_logs": no_output}) as instance:
        yield instance


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports, looks at the fence and heartbeats are seconds apart in real life."""
    monkeypatch.setenv("TICKS_TEST_KEY", "demo")
    monkeypatch.setattr(ingest, "FIRST_REPORT", 0.2)
    monkeypatch.setattr(ingest, "FENCE_INTERVAL", 0.2)
    monkeypatch.setattr(loader, "HEARTBEAT_INTERVAL", 0.2)
    # Only tests have two runs in one process. Dagster configures logging when a run starts, which can deadlock with a
    # thread of another run that logs.
    monkeypatch.setattr(logging.config, "dictConfig", lambda _config: None)


@pytest.fixture
def feeds(project: Path, stand_in: StandIn) -> Path:
    """The project folder, with one feed whose endpoint is the stand-in of this test."""
    write_feeds(project, stand_in.url(key=None))
    return project


@pytest.fixture(scope="module")
def location() -> list[dg.Definitions]:
    """The code location, once it is loaded: its jobs read feeds.yaml when they run, and all feeds here are `stocks`."""
    return []


@pytest.fixture
def execute(
    load: Callable[[], dg.Definitions], location: list[dg.Definitions], instance: dg.DagsterInstance
) -> Execute:
    """Executes a job for the feed, and returns it failed or not."""

    def execute(job: str = "ingest") -> dg.ExecuteInProcessResult:
        if not location:
            location.append(load())
        return (
            location[0]
            .resolve_job_def(job)
            .execute_in_process(instance=instance, partition_key="stocks", raise_on_error=False)
        )

    return execute


class Running:
    """An ingest run in a thread of its own."""

    def __init__(self, execute: Execute, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._result: Future[dg.ExecuteInProcessResult] = Future()

        def work() -> None:
            try:
                self._result.set_result(execute())
            except BaseException as error:  # noqa: BLE001  (handed to the test)
                self._result.set_exception(error)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    @property
    def run(self) -> dg.DagsterRun:
        # The oldest one, where another one follows.
        *_, record = self._instance.get_run_records(dg.RunsFilter(job_name="ingest"))
        return record.dagster_run

    def result(self) -> dg.ExecuteInProcessResult:
        return self._result.result(timeout=60)


@pytest.fixture
def start(execute: Execute, instance: dg.DagsterInstance, database: Database) -> Iterator[Callable[[], Running]]:
    """Starts an ingest run; one that a failed test has left is switched off."""
    started: list[Running] = []

    def start() -> Running:
        started.append(Running(execute, instance))
        return started[-1]

    yield start
    if any(running.thread.is_alive() for running in started):
        turn_off(database)
    for running in started:
        running.thread.join(60)


def turn_off(database: Database) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=False, enabled=False)


def one(database: Database, query: str) -> Any:
    with database.transaction() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
        return row and row[0]


def eventually(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def stream(database: Database, stand_in: StandIn, ticks: int) -> None:
    """Let the feed have this many ticks, and wait until they have landed."""
    stand_in.wait_until_subscribed("AAPL", "MSFT")
    stand_in.send_exactly(ticks)
    eventually("ticks have landed", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == ticks)


def reports(instance: dg.DagsterInstance, run_id: str) -> list[dict[str, Any]]:
    """What a run has said about its progress, in order."""
    said = []
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None or event.event_type is not dg.DagsterEventType.ASSET_OBSERVATION:
            continue
        observation = event.asset_observation_data.asset_observation
        assert observation.asset_key == dg.AssetKey("stocks_real_time")
        said.append({name: value.value for name, value in observation.metadata.items()})
    return said


@pytest.mark.usefixtures("feeds")
def test_streams_until_switched_off(
    database: Database, stand_in: StandIn, start: Callable[[], Running], instance: dg.DagsterInstance
) -> None:
    running = start()
    stream(database, stand_in, 500)
    eventually("a report while it runs", lambda: reports(instance, running.run.run_id))
    assert running.run.tags[FEED_TAG] == "stocks"
    assert one(database, "SELECT owner FROM ticks_platform.feed_lease") == running.run.run_id
    turn_off(database)
    result = running.result()
    assert result.success
    assert running.run.status is dg.DagsterRunStatus.SUCCESS
    assert one(database, "SELECT count(*) FROM stocks_real_time") == 500
    assert one(database, "SELECT sum(loaded)::int FROM ticks_platform.feed_ledger") == 500
    assert one(database, "SELECT count(DISTINCT tick_id) FROM stocks_real_time") == 500
    assert one(database, "SELECT released_at IS NOT NULL FROM ticks_platform.feed_lease")
    last = reports(instance, result.run_id)[-1]
    assert (last["feed"], last["ticks"], last["rejected events"], last["reconnects"]) == ("stocks", 500, 0, 0)
    assert last["journal bytes waiting"] == 0
    for name in ("ticks", "ticks per second", "frames", "rejected events", "reconnects", "journal bytes waiting"):
        assert isinstance(last[name], (int, float)), name
    assert REFUSED_TAG not in running.run.tags


@pytest.mark.full
@pytest.mark.usefixtures("feeds")
def test_goes_on_where_the_run_before_ended(
    database: Database, stand_in: StandIn, start: Callable[[], Running], execute: Execute
) -> None:
    first = start()
    stream(database, stand_in, 100)
    turn_off(database)
    assert first.result().success
    assert execute("enable_feed").success
    second = Running(execute, dg.DagsterInstance.ephemeral())
    stand_in.wait_until_subscribed("AAPL", "MSFT")
    stand_in.send_exactly(50)
    eventually("ticks of both", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == 150)
    assert execute("disable_feed").success
    assert second.result().success
    assert one(database, "SELECT sum(loaded)::int FROM ticks_platform.feed_ledger") == 150
    assert one(database, "SELECT count(DISTINCT tick_id) FROM stocks_real_time") == 150


@pytest.mark.usefixtures("feeds")
def test_terminated_run_stores_what_it_received(
    database: Database, stand_in: StandIn, execute: Execute, instance: dg.DagsterInstance
) -> None:
    """Terminate in the UI interrupts the main thread of the run's process, which is this one here."""
    trouble: list[BaseException] = []

    def terminate() -> None:
        try:
            stream(database, stand_in, 300)
        except BaseException as error:  # noqa: BLE001  (the test looks at it below)
            trouble.append(error)
        for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            instance.report_run_canceling(record.dagster_run)
            signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=terminate)
    thread.start()
    result = execute()
    thread.join()
    assert trouble == []
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELED
    assert one(database, "SELECT count(*) FROM stocks_real_time") == 300
    assert one(database, "SELECT sum(loaded)::int FROM ticks_platform.feed_ledger") == 300
    assert one(database, "SELECT released_at IS NOT NULL FROM ticks_platform.feed_lease")
    assert reports(instance, result.run_id)[-1]["ticks"] == 300


@pytest.mark.usefixtures("feeds")
def test_run_that_somebody_has_declared_failed_stops(
    database: Database, stand_in: StandIn, start: Callable[[], Running], instance: dg.DagsterInstance
) -> None:
    """Otherwise it would go on beside its successor."""
    running = start()
    stream(database, stand_in, 100)
    instance.report_run_failed(running.run, "for the test")
    running.result()
    assert one(database, "SELECT released_at IS NOT NULL FROM ticks_platform.feed_lease")
    assert one(database, "SELECT sum(loaded)::int FROM ticks_platform.feed_ledger") == 100


@pytest.mark.usefixtures("feeds")
def test_an_outage_of_dagsters_storage_ends_no_feed(
    database: Database, stand_in: StandIn, start: Callable[[], Running], instance: dg.DagsterInstance, feeds: Path
) -> None:
    running = start()
    stream(database, stand_in, 100)
    run_id = running.run.run_id
    history = Path(instance.root_directory) / "history"
    away = history.with_name("history, away")
    history.rename(away)
    try:
        history.touch()
        with pytest.raises(sqlalchemy.exc.OperationalError):
            instance.get_run_by_id(run_id)
        # Longer than several looks at the fence and reports, with changes that it would like to tell.
        ends = time.monotonic() + 2
        write_feeds(feeds, stand_in.url(key=None), symbols="{AAPL: Apple, MSFT: Microsoft, TSLA: Tesla}")
        stand_in.wait_until_subscribed("AAPL", "MSFT", "TSLA")
        for total in itertools.count(200, 100):
            stand_in.send_exactly(100)
            eventually("ticks land", partial(_landed, database, total))
            if time.monotonic() > ends:
                break
    finally:
        history.unlink()
        away.rename(history)
    eventually("it looks at the fence again", lambda: running.run.run_id == run_id)
    assert running.thread.is_alive()
    turn_off(database)
    assert running.result().success
    assert reports(instance, run_id)[-1]["ticks"] == total


def _landed(database: Database, ticks: int) -> bool:
    return bool(one(database, "SELECT count(*) FROM stocks_real_time") == ticks)


@pytest.mark.usefixtures("feeds")
def test_run_whose_feed_was_taken_over_fails(
    database: Database, stand_in: StandIn, start: Callable[[], Running]
) -> None:
    running = start()
    stream(database, stand_in, 100)
    with database.transaction() as cursor:
        take_over(cursor, "stocks", synthetic=False, owner="another run")
    result = running.result()
    assert not result.success
    assert "taken over by another owner" in failure(result)
    assert REFUSED_TAG not in running.run.tags
    assert one(database, "SELECT owner FROM ticks_platform.feed_lease") == "another run"


def failure(result: dg.ExecuteInProcessResult) -> str:
    """All that a failed run says about why."""
    (event,) = [event for event in result.all_node_events if event.is_step_failure]
    error = event.step_failure_data.error
    return str(error) + str(event.step_failure_data.user_failure_data)


def test_a_key_that_is_corrected_in_env_is_taken_without_a_restart(
    database: Database, project: Path, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    # What the environment has, it has from .env.
    monkeypatch.setenv("TICKS_TEST_KEY", "wr0ng-k3y")
    monkeypatch.setenv(env_file.FROM_FILE, "TICKS_TEST_KEY")
    with StandIn(StandInSettings(rate=0, keys=frozenset({"right"}), bad_key_mode="401")) as stand_in:
        write_feeds(project, stand_in.url(key=None))
        (project / ".env").write_text("TICKS_TEST_KEY=wr0ng-k3y\n", encoding="utf-8")
        assert "refused the API key" in failure(execute())
        (project / ".env").write_text("TICKS_TEST_KEY=right\n", encoding="utf-8")
        connector = load_settings(project / "feeds.yaml").feeds[0].connector()
        assert connector.api_key == "right"
        monkeypatch.delenv(env_file.FROM_FILE)
        monkeypatch.setenv("TICKS_TEST_KEY", "of the environment")
        assert load_settings(project / "feeds.yaml").feeds[0].connector().api_key == "of the environment"


@pytest.mark.parametrize("mode", ["401", pytest.param("200+body", marks=pytest.mark.full)])
def test_refused_key(
    database: Database,
    project: Path,
    execute: Execute,
    instance: dg.DagsterInstance,
    mode: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TICKS_TEST_KEY", "wr0ng-k3y")
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    with StandIn(StandInSettings(rate=0, keys=frozenset({"right"}), bad_key_mode=mode)) as stand_in:
        write_feeds(project, stand_in.url(key=None))
        result = execute()
    assert not result.success
    assert "refused the API key" in failure(result)
    assert "reloaded" in failure(result)
    assert "wr0ng-k3y" not in "".join(str(entry) for entry in instance.all_logs(result.run_id))
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[REFUSED_TAG] == "true"
    assert one(database, "SELECT count(*) FROM stocks_real_time") == 0


@pytest.mark.usefixtures("database", "feeds")
def test_missing_key_names_its_variable(
    execute: Execute, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TICKS_TEST_KEY")
    result = execute()
    assert not result.success
    assert "TICKS_TEST_KEY" in failure(result)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[REFUSED_TAG] == "true"


@pytest.mark.usefixtures("feeds")
def test_live_ticks_are_not_mixed_with_synthetic_ones(database: Database, execute: Execute) -> None:
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="made_up", provider="twelve_data", synthetic=True, enabled=True)
    result = execute()
    assert not result.success
    assert "must not be mixed" in failure(result)


def test_changed_symbols_change_the_subscription_on_the_same_connection(
    database: Database, feeds: Path, stand_in: StandIn, start: Callable[[], Running]
) -> None:
    with database.transaction() as cursor:
        sql_files.apply(cursor, "schema/instrument.sql", "schema/round_lot.sql", "schema/instrument_reference.sql")
    running = start()
    stream(database, stand_in, 100)
    write_feeds(feeds, stand_in.url(key=None), "{AAPL: {name: Apple, may_be_negative: true}, TSLA: Tesla}")
    eventually("the new symbols", lambda: set(stand_in.account().connections[-1].subscribed) == {"AAPL", "TSLA"})
    stand_in.send_exactly(50)
    eventually("more ticks", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == 150)
    assert len(stand_in.account().connections) == 1
    negative = "SELECT array_agg(symbol ORDER BY symbol) FROM instrument WHERE may_be_negative"
    eventually("the table of instruments", lambda: one(database, negative) == ["AAPL"])
    assert running.thread.is_alive()


def appended(journal: Path) -> int:
    """How many frames a journal was given."""
    if not journal.exists():
        return 0
    with journal_view(journal) as view:
        return view.frames_appended


def test_other_changed_settings_ask_for_a_successor_which_takes_over(
    database: Database,
    feeds: Path,
    stand_in: StandIn,
    start: Callable[[], Running],
    instance: dg.DagsterInstance,
    load: Callable[[], dg.Definitions],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run goes on until then; every tick is stored once, and it ends as a success that says who came."""
    monkeypatch.setattr(takeover, "OVERLAP", 1.0)
    running = start()
    stream(database, stand_in, 100)
    settings = (feeds / "feeds.yaml").read_text(encoding="utf-8")
    changed = settings.replace("provider: twelve_data", "stale_after_seconds: 77, overlap: true, provider: twelve_data")
    (feeds / "feeds.yaml").write_text(changed, encoding="utf-8")
    before = running.run
    eventually("a successor is asked for", lambda: SUCCESSOR_TAG in running.run.tags)
    stand_in.send_exactly(50)
    eventually("it goes on", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == 150)
    job = load().resolve_job_def("ingest")
    tags = {FOLLOW_TAG: running.run.tags[SUCCESSOR_TAG]}
    after = Running(
        lambda: job.execute_in_process(instance=instance, partition_key="stocks", tags=tags, raise_on_error=False),
        instance,
    )
    eventually(
        "both are subscribed",
        lambda: [set(each.subscribed) for each in stand_in.account().connections] == [{"AAPL", "MSFT"}] * 2,
    )
    # What it reads late, all at once, may be something else that came before it was there, or after the other ended.
    journal = journal_pair(journal_path("stocks"))[1]
    eventually("the successor has the answer", lambda: appended(journal) > 0)
    answers = appended(journal)
    stand_in.send_exactly(49)
    eventually("both have them", lambda: appended(journal) >= answers + 49)
    stand_in.send_exactly(1)
    result = running.result()
    assert result.success
    stand_in.send_exactly(50)
    eventually("ticks of both", lambda: one(database, "SELECT count(*) FROM stocks_real_time") >= 250)
    turn_off(database)
    follower = after.result()
    assert follower.success
    assert one(database, "SELECT count(*) FROM stocks_real_time") == 250
    said = [entry.user_message for entry in instance.all_logs(before.run_id)]
    assert any(f"run {follower.run_id} has taken over" in message for message in said)


@pytest.mark.usefixtures("feeds")
def test_hand_over_marks_the_run(
    database: Database, stand_in: StandIn, start: Callable[[], Running], execute: Execute
) -> None:
    running = start()
    stream(database, stand_in, 10)
    asked = execute("hand_over")
    assert asked.success
    assert running.run.tags[SUCCESSOR_TAG] == f"asked for by run {asked.run_id}"
    assert running.thread.is_alive()


@pytest.mark.usefixtures("database", "feeds")
def test_hand_over_of_a_feed_without_a_run_says_so(execute: Execute, instance: dg.DagsterInstance) -> None:
    asked = execute("hand_over")
    assert asked.success
    assert any("no run of feed 'stocks'" in entry.user_message for entry in instance.all_logs(asked.run_id))


def test_settings_that_cannot_be_read_end_nothing_and_are_told_in_the_runs_log(
    database: Database, feeds: Path, stand_in: StandIn, start: Callable[[], Running], instance: dg.DagsterInstance
) -> None:
    running = start()
    stream(database, stand_in, 100)

    def told(*words: str) -> int:
        return sum(
            entry.level == logging.WARNING and all(word in entry.user_message for word in words)
            for entry in instance.all_logs(running.run.run_id)
        )

    file = feeds / "feeds.yaml"
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace("symbols:", "simbols:"), encoding="utf-8")
    eventually("it is told", lambda: told("simbols", "Feed 'stocks' continues with the settings that it has"))
    stand_in.send_exactly(20)
    eventually("more ticks", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == 120)
    assert running.thread.is_alive()
    file.write_text(right, encoding="utf-8")
    eventually("its end is told", lambda: told("feeds.yaml can be read again"))
    assert told("simbols") == 1


def test_feed_that_has_left_the_settings_ends(
    database: Database, feeds: Path, stand_in: StandIn, start: Callable[[], Running]
) -> None:
    running = start()
    stream(database, stand_in, 100)
    file = feeds / "feeds.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("stocks:", "others:"), encoding="utf-8")
    assert running.result().success


@pytest.mark.parametrize(
    "known", [True, pytest.param(False, marks=pytest.mark.full)], ids=["feed known", "feed never seen"]
)
@pytest.mark.usefixtures("feeds")
def test_switches(database: Database, execute: Execute, known: bool) -> None:
    if known:
        with database.transaction() as cursor:
            take_over(cursor, "stocks", synthetic=False, owner="x")
    for job, enabled in (("disable_feed", False), ("disable_feed", False), ("enable_feed", True)):
        assert execute(job).success
        assert one(database, "SELECT enabled FROM ticks_platform.feed WHERE feed = 'stocks'") is enabled
    assert one(database, "SELECT count(*) FROM ticks_platform.feed") == 1


def test_shipped_kind_of_feed_streams(
    database: Database, project: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    """The endpoint `stand-in` brings a stand-in, which the next run has too; its ticks are marked as synthetic."""
    job = load().resolve_job_def("ingest")
    ticks = "SELECT count(*) FROM ticks_platform.feed_lease JOIN stocks_real_time ON received_at > taken_at"
    found = []
    try:
        for _ in range(2):
            running = Running(lambda: job.execute_in_process(instance=instance, partition_key="stocks"), instance)
            eventually("a tick has landed", lambda: one(database, ticks))
            assert one(database, "SELECT synthetic FROM ticks_platform.feed") is True
            turn_off(database)
            assert running.result().success
            found.append(daemon.find(stand_in_file("stocks")))
            with database.transaction() as cursor:
                switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=True)
    finally:
        daemon.stop(stand_in_file("stocks"))
    assert found[0] is not None
    assert found[0] == found[1]


@pytest.mark.parametrize("broken", ["finished_by_somebody_else", pytest.param("report", marks=pytest.mark.full)])
@pytest.mark.usefixtures("feeds")
def test_trouble_with_dagsters_own_storage_ends_nothing(
    database: Database,
    stand_in: StandIn,
    start: Callable[[], Running],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    failures: list[str] = []

    def fail(*_arguments: object) -> None:
        failures.append(broken)
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(ingest, "REPORT_INTERVAL", 0.2)
    monkeypatch.setattr(ingest if broken != "report" else progress.Reporter, broken, fail)
    running = start()
    stream(database, stand_in, 100)
    eventually("it has failed more than once", lambda: len(failures) > 2)
    stand_in.send_exactly(20)
    eventually("more ticks", lambda: one(database, "SELECT count(*) FROM stocks_real_time") == 120)
    turn_off(database)
    result = running.result()
    assert result.success
    warnings = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.level == logging.WARNING]
    assert any("database is locked" in warning for warning in warnings)


@pytest.mark.usefixtures("feeds")
def test_damaged_journal_is_no_refusal(
    database: Database,
    stand_in: StandIn,
    start: Callable[[], Running],
    execute: Execute,
    instance: dg.DagsterInstance,
) -> None:
    """The supervisor starts the feed again, with a new journal."""
    running = start()
    stream(database, stand_in, 10)
    turn_off(database)
    assert running.result().success
    journal = journal_path("stocks")
    opened = Journal(journal, feed="stocks")
    opened.append([Frame(b"{}", time.time_ns(), 1)], epoch=1)
    opened.close()
    damage_group(journal, 0)
    assert execute("enable_feed").success
    result = execute()
    assert not result.success
    assert "set aside" in failure(result)
    assert "replay" in failure(result)
    assert not journal.exists()
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert REFUSED_TAG not in run.tags
