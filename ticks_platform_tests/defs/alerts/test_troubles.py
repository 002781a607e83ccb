"""Each fault is made for real: a webhook on loopback receives one message when it begins and one when it is over."""

from __future__ import annotations

import itertools
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ticks_platform.alerts import webhook
from ticks_platform.defs.alerts import posting, troubles
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings, load_settings
from ticks_platform.feeds.transport import clock, reconnect
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.monitoring import database as looks
from ticks_platform.paths import journal_path
from ticks_platform.timescale.database import Database
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.support.disks import on_small_disk
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.ingestion import price
from ticks_platform_tests.support.webhook_receiver import SECRET, Receiver, receiving
from ticks_standin import StandIn, StandInSettings

FEEDS = """
feeds:
  stocks:
    provider: twelve_data
    endpoint: stand-in
    stale_after_seconds: 1
    journal: {max_megabytes: 2}
    symbols: [AAPL]
"""

RED, YELLOW, GREEN = ":red_circle:", ":large_yellow_circle:", ":large_green_circle:"

TICK = """
INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
SELECT at, 'AAPL', 100, gen_random_uuid(), 'stocks', at FROM (SELECT now() - INTERVAL '10 minutes') AS arrival (at)
"""

CREATE_FAULT = """
CREATE FUNCTION public.fail_on_purpose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()) <> 'client backend' THEN
        RAISE EXCEPTION 'no room for this job';
    END IF;
    RETURN NEW;
END
$$
"""
"""A job of the database's scheduler fails; the same policy in a session of ours does not."""


class Operator:
    """Who reads what the webhook receives, and the sensor, whose clock a test moves."""

    def __init__(self, receiver: Receiver, feeds: tuple[FeedSettings, ...], url: str) -> None:
        self.receiver = receiver
        self.url = url
        self.feed = feeds[0]
        self.ahead = 0.0
        self._cursor: str | None = None
        self._alerts = posting.AlertsResource(url=receiver.url)
        (self._sensor,) = troubles.alert_troubles().sensors or []

    def told(self, *, after: float = 0.0) -> list[str]:
        """What is received by a look so many seconds later."""
        self.ahead += after
        before = len(self.receiver.texts)
        context = dg.build_sensor_context(cursor=self._cursor)
        result: Any = self._sensor(context, ticks_database=DatabaseResource(url=self.url), ticks_alerts=self._alerts)
        self._cursor = result.cursor
        return [line for text in self.receiver.texts[before:] for line in text.splitlines()]

    def becomes(self, beginning: str, *, seconds: float = 60.0) -> str:
        """The one message of this kind that is received at last, looking again and again, a minute after each other."""
        found: list[str] = []
        deadline = time.monotonic() + seconds
        while not found:
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {beginning}"
            found = [line for line in self.told(after=61.0) if line.startswith(beginning)]
            time.sleep(0.1)
        (line,) = found
        return line


@pytest.fixture
def operator(
    project: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    (project / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    monkeypatch.setattr(webhook, "PAUSES", ())
    with receiving() as receiver:
        monkeypatch.setenv("TICKS_ALERT_WEBHOOK", receiver.url)
        made = Operator(receiver, load_settings(project / "feeds.yaml").feeds, database_url)
        monkeypatch.setattr(troubles, "time", SimpleNamespace(time=lambda: time.time() + made.ahead))
        yield made
        assert SECRET not in str(receiver.texts)


@contextmanager
def ingesting(operator: Operator, database: Database, stand_in: StandIn) -> Iterator[Ingestion]:
    connector = operator.feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    with Ingestion(feed=operator.feed, connector=connector, database=database, owner="a run") as ingestion:
        yield ingestion


@contextmanager
def streaming(operator: Operator, database: Database) -> Iterator[Ingestion]:
    """The feed, from a stand-in that sends all the time."""
    with (
        StandIn(StandInSettings(rate=50)) as stand_in,
        ingesting(operator, database, stand_in) as ingestion,
    ):
        wait_until(lambda: ingestion.progress().loaded > 20, "ticks are loaded", 20)
        yield ingestion


def disable(database: Database) -> None:
    """Switch the feed off: nobody misses it."""
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="stocks", provider="twelve_data", synthetic=True, enabled=False)


@pytest.mark.full
def test_nothing_is_told_while_nothing_is_wrong(operator: Operator, database: Database) -> None:
    with streaming(operator, database):
        assert [operator.told(after=61.0) for _ in range(4)] == [[]] * 4
    assert operator.receiver.attempts == 0


def test_a_database_that_is_away(operator: Operator, database: Database) -> None:
    disable(database)
    with Relay(database.url()) as relay:
        operator.url = relay.url
        assert operator.told() == operator.told(after=61.0) == []
        with relay.cut():
            assert operator.told() == operator.told(after=20.0) == operator.told(after=20.0) == []
            (line,) = operator.told(after=30.0)
            assert line.startswith(f"{RED} the database cannot be used: cannot connect to postgresql:"), line
            assert "Feeds continue" in line
            assert operator.told(after=61.0) == []
        (line,) = operator.told(after=61.0)
        assert line.startswith(f"{GREEN} the database can be used again"), line


def test_settings_that_cannot_be_read(operator: Operator, database: Database, project: Path) -> None:
    disable(database)
    file = project / "feeds.yaml"
    file.write_text(FEEDS.replace("symbols:", "simbols:"), encoding="utf-8")
    assert operator.told() == operator.told(after=30.0) == [], "somebody may be writing it"
    (line,) = operator.told(after=61.0)
    assert line.startswith(RED)
    assert "simbols" in line
    assert "Feeds that run continue" in line
    file.write_text(FEEDS, encoding="utf-8")
    (line,) = operator.told(after=61.0)
    assert line.startswith(f"{GREEN} feeds.yaml can be read again"), line


@pytest.mark.full
def test_a_database_that_does_not_answer(
    operator: Operator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "PATIENCE", 0.5)
    with Relay(database.url()) as relay:
        operator.url = relay.url
        with relay.frozen():
            operator.becomes(f"{RED} the database cannot be used: ")
        operator.becomes(f"{GREEN} the database can be used again")


@pytest.mark.full
def test_a_refused_feed(operator: Operator, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "CONFIRM_REFUSAL_AFTER", 0.2)
    with (
        StandIn(StandInSettings(rate=0, keys=("another",))) as stand_in,
        ingesting(operator, database, stand_in) as ingestion,
    ):
        wait_until(lambda: ingestion.progress().state.value == "refused", "it is refused", 20)
        with pytest.raises(Exception, match="refused the API key"):
            ingestion.wait(60)
    assert "refused the API key" in operator.becomes(f"{RED} feed stocks: refused")
    assert operator.told(after=61.0) == []
    with streaming(operator, database):
        assert operator.becomes(f"{GREEN} feed stocks is no longer refused")


@pytest.mark.full
def test_a_feed_that_stalls_and_one_whose_run_is_gone(operator: Operator, database: Database) -> None:
    with (
        StandIn(StandInSettings(rate=0)) as stand_in,
        ingesting(operator, database, stand_in),
    ):
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        assert "limit 1 s" in operator.becomes(f"{RED} feed stalled: stocks (last tick never")
        assert operator.told(after=61.0) == []
        stop = threading.Event()

        def send() -> None:
            for number in itertools.count(1):
                stand_in.inject(price("AAPL", price=number))
                if stop.wait(0.1):
                    return

        sender = threading.Thread(target=send)
        sender.start()
        try:
            operator.becomes(f"{GREEN} feed stocks sends ticks again")
        finally:
            stop.set()
            sender.join()
    operator.told(after=61.0)
    operator.told(after=61.0)
    operator.told(after=61.0)
    assert any(f"{RED} feed stocks is not being ingested" in text for text in operator.receiver.texts)


@pytest.mark.full
def test_a_wrong_clock(operator: Operator, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = SimpleNamespace(time_ns=lambda: time.time_ns() - 300_000_000_000, clock_gettime_ns=time.clock_gettime_ns)
    monkeypatch.setattr(clock, "time", wrong)
    with (
        StandIn(StandInSettings(rate=50)) as stand_in,
        ingesting(operator, database, stand_in),
    ):
        found: list[str] = []
        deadline = time.monotonic() + 60
        while not any("clock" in line for line in found):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
            found += operator.told()
        (line,) = (line for line in found if "clock" in line)
        assert line.startswith(RED), line
        assert "300 s" in line or "behind" in line


@pytest.mark.full
def test_a_journal_that_fills_up(operator: Operator, database: Database) -> None:
    disable(database)
    assert operator.told() == []
    journal = Journal(journal_path("stocks"), feed="stocks", synthetic=True, max_bytes=2 << 20)
    try:
        frame = price("AAPL", filler="x" * 8000)
        sent = 0
        while not (found := operator.told(after=61.0)):
            assert sent < 400
            for _ in range(4):
                journal.append([Frame(frame, time.time_ns(), 1)], epoch=1)
                sent += 1
        (line,) = found
        assert line.startswith(f"{YELLOW} the journal of feed stocks is 8"), line
        assert "max_megabytes" in line
        journal.trim(journal.end)
        operator.becomes(f"{GREEN} the journal of feed stocks has space again")
    finally:
        journal.close()


@pytest.mark.full
def test_a_disk_that_is_full_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    """With the disk of the state folder in a mount namespace of its own; the database is away meanwhile."""
    program = """
        import os, subprocess, sys
        from pathlib import Path
        from ticks_platform.monitoring import troubles
        from ticks_platform.monitoring.database import Watcher
        from ticks_platform.timescale.database import Database

        folder = Path(sys.argv[1])
        os.environ["TICKS_STATE_DIR"] = str(folder)
        (folder / "journal").mkdir()

        def look():
            seen = troubles.look(Watcher(), Database("postgresql://u:p@127.0.0.1:1/none"), ())
            return [(each.key, each.warning) for each in seen.troubles if each.key != "database away"]

        print(look())
        (folder / "filler").write_bytes(b"x" * (245 << 20))
        print(look())
        (folder / "filler").write_bytes(b"x" * (250 << 20))
        print(look())
        (folder / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        print(look())
    """
    said = on_small_disk(tmp_path / "disk", textwrap.dedent(program), megabytes=256).splitlines()
    assert said == [
        "[]",
        "[('disk full', True)]",
        "[('disk full', False)]",
        "[('disk unwritable', False)]",
    ]


@pytest.mark.full
@pytest.mark.usefixtures("scheduler")
def test_a_policy_whose_job_fails_again_and_again(
    operator: Operator,
    fresh: Database,
    run_job: Callable[..., dg.ExecuteInProcessResult],
    platform: dg.Definitions,
    tmp_path: Path,
) -> None:
    """The schedule does its work meanwhile."""
    assert run_job("bring_up").success
    with fresh.autocommit() as cursor:
        cursor.execute(CREATE_FAULT)
        cursor.execute(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'"
        )
        ((materialization,),) = cursor.fetchall()
        cursor.execute(
            f"CREATE TRIGGER fail_on_purpose BEFORE INSERT ON {materialization} FOR EACH ROW "
            "EXECUTE FUNCTION public.fail_on_purpose()"
        )
        cursor.execute(TICK)
        cursor.execute(
            "SELECT alter_job(job_id, schedule_interval => INTERVAL '1 second', retry_period => INTERVAL '1 second') "
            "FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' "
            "AND schedule_interval = INTERVAL '1 minute'"
        )

    def evaluate() -> str:
        with (
            dg.DagsterInstance.local_temp(str(tmp_path)) as history,
            dg.build_schedule_context(
                instance=history,
                scheduled_execution_time=datetime.now(tz=timezone.utc),
                repository_def=platform.get_repository_def(),
                resources=platform.resources,
            ) as context,
        ):
            return platform.resolve_schedule_def("refresh_candles").evaluate_tick(context).skip_message or ""

    try:
        line = operator.becomes(f"{RED} refresh policy of one_minute_candle: the last ")
        assert line.partition(" failed: ")[2], "the database's own message"
        assert not [again for again in operator.told(after=61.0) if "policy" in again]
        assert evaluate() == "ran without a run: one_minute_candle_refresh_policy"
        with fresh.transaction() as cursor:
            cursor.execute(f"SELECT count(*) FROM {materialization}")
            assert cursor.fetchone() == (1,), "the schedule has refreshed it"
    finally:
        with fresh.transaction() as cursor:
            cursor.execute("DROP FUNCTION public.fail_on_purpose CASCADE")
    operator.becomes(f"{GREEN} refresh policy of one_minute_candle: job ")
    assert evaluate() == "the database runs its policies itself"
