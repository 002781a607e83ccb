"""policies.yaml and the database's jobs: what differs is found, and only that is altered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ticks_platform.ingestion import audit
from ticks_platform.settings_file import SettingsError
from ticks_platform.timescale.candles import candles, late_ticks
from ticks_platform.timescale.candles.candles import CANDLES, ONE_MINUTE
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies import policies
from ticks_platform.timescale.policies.jobs import PolicyRefusedError
from ticks_platform.timescale.policies.settings import POLICIES, Kind, Policy, Terms, load_policies
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.workers import stopped_workers

MINUTES = Policy(Kind.REFRESH, "one_minute_candle")
COLUMNSTORE = Policy(Kind.COLUMNSTORE, "stocks_real_time")
RETENTION = Policy(Kind.RETENTION, "stocks_real_time")
FOR_A_MONTH = Terms(timedelta(days=1), {"drop_after": timedelta(days=30)})


@pytest.fixture
def database(database: Database, server_url: str | None) -> Iterator[Database]:
    """Nobody else runs the policies that the tests make."""
    with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
        yield database


def minutes(start_offset: timedelta = timedelta(hours=4), every: timedelta = timedelta(minutes=1)) -> Terms:
    return Terms(every, {"start_offset": start_offset, "end_offset": timedelta(minutes=1)})


@pytest.fixture
def written(tmp_path: Path, repository_root: Path) -> Callable[[str, str], Path]:
    """The shipped file with a text in it replaced by another."""

    def write(old: str, new: str) -> Path:
        text = (repository_root / "policies.yaml").read_text(encoding="utf-8")
        assert old in text
        file = tmp_path / "policies.yaml"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        return file

    return write


def test_every_candle_has_its_refresh_in_the_file(repository_root: Path) -> None:
    settings = load_policies(repository_root / "policies.yaml")
    assert [*type(settings.refresh).model_fields] == [candle.name for candle in CANDLES]
    assert [policy.table for policy in POLICIES if policy.kind is Kind.REFRESH] == [candle.name for candle in CANDLES]


def jobs(database: Database) -> list[tuple[Any, ...]]:
    """All that the database says of all its jobs."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT job_id, proc_name, schedule_interval, retry_period, max_retries, max_runtime, scheduled, "
            "config::text FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id"
        )
        return cursor.fetchall()


def apply(database: Database, policy: Policy, terms: Terms | None) -> tuple[str, list[str]]:
    with database.transaction() as cursor:
        applied = policy_jobs.apply(cursor, policy, terms)
        assert policy_jobs.drift(cursor, policy, terms) == []
    return applied.outcome, applied.changes


def insert(database: Database, *ages: timedelta) -> None:
    with database.transaction() as cursor:
        for age in ages:
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
                "VALUES (now() - %s, 'AAPL', 10, gen_random_uuid(), 'test', now())",
                (age,),
            )


def test_the_shipped_file_drops_nothing(repository_root: Path) -> None:
    settings = load_policies(repository_root / "policies.yaml")
    off = [policy for policy in POLICIES if settings.terms(policy) is None]
    assert off == [policy for policy in POLICIES if policy.kind is Kind.RETENTION]
    assert settings.terms(MINUTES) == minutes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("4 hours", "4 fortnights", "refresh.one_minute_candle.start_offset: "),
        ("4 hours", "1 month", "such as '90 minutes'"),
        ("4 hours", "0 hours", "refresh.one_minute_candle.start_offset: "),
        ("start_offset: 4 hours", "start: 4 hours", "refresh.one_minute_candle.start: "),
        ("3 hours", "2 hours", "one_hour_candle: start_offset has to be at least two buckets"),
        (
            "stocks_real_time: off",
            "stocks_real_time: {drop_after: 4 hours, schedule_interval: 1 day}",
            "drop_after (4:",
        ),
        ("stock_quotes: off", "stock_quote: off", "retention.stock_quote: "),
        ("after: 7 days", "after: 4 hours", "columnstore.stocks_real_time: after (4:"),
    ],
)
def test_what_cannot_be_is_refused(written: Callable[[str, str], Path], old: str, new: str, message: str) -> None:
    file = written(old, new)
    with pytest.raises(SettingsError) as refused:
        load_policies(file)
    assert str(file) in str(refused.value)
    assert message in str(refused.value)


def test_intervals_are_read(written: Callable[[str, str], Path]) -> None:
    file = written(
        "stocks_real_time: off", "stocks_real_time: {drop_after: 1 week 2 days, schedule_interval: 90 minutes}"
    )
    assert load_policies(file).terms(RETENTION) == Terms(timedelta(minutes=90), {"drop_after": timedelta(days=9)})


def test_only_what_differs_is_altered(database: Database) -> None:
    assert apply(database, MINUTES, minutes()) == ("created", [])
    assert (
        apply(database, COLUMNSTORE, Terms(timedelta(hours=12), {"compress_after": timedelta(days=7)}))[0] == "created"
    )
    before = jobs(database)
    assert apply(database, MINUTES, minutes()) == ("unchanged", [])
    assert jobs(database) == before
    outcome, changes = apply(database, MINUTES, minutes(timedelta(hours=5)))
    assert (outcome, changes) == ("altered", ["start_offset is 4:00:00, declared 5:00:00"])
    after = jobs(database)
    assert after[1:] == before[1:]
    assert after[0][:-1] == before[0][:-1], "the same job, with another start"
    assert '"start_offset": "05:00:00"' in after[0][-1]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT alter_job({job}, schedule_interval => '7 minutes')", "schedule_interval is 0:07:00, declared 0:01:00"),
        ("SELECT alter_job({job}, scheduled => false)", "scheduled is false, declared true"),
        ("SELECT alter_job({job}, max_retries => 3)", "max_retries is 3, declared -1"),
        (
            'SELECT alter_job({job}, config => config || \'{{"start_offset": null, "buckets_per_batch": 7}}\') '
            "FROM timescaledb_information.jobs WHERE job_id = {job}",
            "start_offset is none, declared 4:00:00",
        ),
        ("SELECT remove_continuous_aggregate_policy('one_minute_candle')", "it is missing"),
    ],
)
def test_a_change_by_hand_is_found_and_undone(database: Database, statement: str, words: str) -> None:
    apply(database, MINUTES, minutes())
    before = jobs(database)
    with database.transaction() as cursor:
        cursor.execute(statement.format(job=before[0][0]))
        found = policy_jobs.drift(cursor, MINUTES, minutes())
    assert words in "; ".join(found)
    assert apply(database, MINUTES, minutes())[0] in ("altered", "created")
    assert [job[1:] for job in jobs(database)] == [job[1:] for job in before]


def test_a_policy_that_is_not_declared_is_found_and_removed(database: Database) -> None:
    apply(database, RETENTION, FOR_A_MONTH)
    with database.transaction() as cursor:
        cursor.execute("SELECT add_retention_policy('stocks_real_time', INTERVAL '4 days')")
        (job_id,) = cursor.fetchone() or (None,)
        assert policy_jobs.drift(cursor, RETENTION, FOR_A_MONTH) == [f"job {job_id} is not declared"]
    assert apply(database, RETENTION, FOR_A_MONTH) == ("altered", [f"removed job {job_id}, which is not declared"])
    assert [job[1] for job in jobs(database)] == ["drop_old_chunks"]
    assert apply(database, RETENTION, None)[0] == "removed"
    assert apply(database, RETENTION, None) == ("off", [])
    assert jobs(database) == []


def test_a_refresh_that_would_delete_candles_is_refused(database: Database) -> None:
    insert(database, timedelta(days=3), timedelta(days=2))
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
        cursor.execute("SELECT drop_chunks('stocks_real_time', now() - INTERVAL '24 hours')")
    insert(database, timedelta(minutes=5))
    apply(database, MINUTES, minutes())
    with pytest.raises(PolicyRefusedError, match=r"2 candles .* have no ticks any more.*shorter start_offset"):
        apply(database, MINUTES, minutes(timedelta(days=5)))
    assert apply(database, MINUTES, minutes()) == ("unchanged", [])
    with database.transaction() as cursor:
        assert policy_jobs.candles_without_ticks(cursor, MINUTES, timedelta(hours=4)) is None
        assert "2 candles" in (policy_jobs.candles_without_ticks(cursor, MINUTES, timedelta(days=5)) or "")


def run_retention(database: Database) -> None:
    with database.autocommit() as cursor:
        (job,) = policy_jobs.find(cursor, RETENTION)
        policies.run(cursor, job.job_id)


def counts(database: Database) -> tuple[int, int]:
    """Ticks, and the ticks that minute candles have."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM stocks_real_time), (SELECT sum(tick_count)::bigint FROM one_minute_candle)"
        )
        return cursor.fetchone() or (0, 0)


def test_retention_brings_candles_up_before_it_drops_their_ticks(database: Database) -> None:
    insert(database, timedelta(days=49), timedelta(days=49, hours=1), timedelta(days=4))
    apply(database, RETENTION, FOR_A_MONTH)
    run_retention(database)
    assert counts(database) == (1, 3)


def test_retention_drops_nothing_that_another_aggregate_needs(database: Database) -> None:
    insert(database, timedelta(days=49), timedelta(days=4))
    apply(database, RETENTION, FOR_A_MONTH)
    with database.autocommit() as cursor:
        cursor.execute(
            "CREATE MATERIALIZED VIEW weekly WITH (timescaledb.continuous) AS "
            "SELECT time_bucket('7 days', time), count(*) FROM stocks_real_time GROUP BY 1 WITH NO DATA"
        )
    try:
        with pytest.raises(
            psycopg2.errors.RaiseException, match=r"nothing of stocks_real_time is dropped: public\.weekly"
        ):
            run_retention(database)
    finally:
        with database.autocommit() as cursor:
            cursor.execute("DROP MATERIALIZED VIEW weekly")
    assert counts(database) == (2, 2)
    run_retention(database)
    assert counts(database) == (1, 2)


def test_retention_counts_ticks_and_does_not_trust_the_books(database: Database) -> None:
    insert(database, timedelta(days=49), timedelta(days=4))
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
        cursor.execute(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'"
        )
        (materialization,) = cursor.fetchone() or ("",)
        cursor.execute(f"DELETE FROM {materialization} WHERE bucket < now() - INTERVAL '40 days'")
    apply(database, RETENTION, FOR_A_MONTH)
    with pytest.raises(psycopg2.errors.RaiseException, match="one_minute_candle has 0 of the 1 ticks"):
        run_retention(database)
    assert counts(database)[0] == 2


def await_lock(database: Database) -> None:
    """Until somebody waits for a lock in this database."""
    deadline = time.monotonic() + 30
    while True:
        with database.autocommit() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            (waiting,) = cursor.fetchone() or (0,)
        if waiting:
            return
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)


def test_a_tick_that_comes_while_retention_counts_is_counted(database: Database, server_url: str | None) -> None:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded one has one session: no tick arrives while it counts")
    insert(database, timedelta(days=49), timedelta(days=4))
    apply(database, RETENTION, FOR_A_MONTH)
    with database.autocommit() as cursor:
        candles.refresh_history(cursor, ONE_MINUTE)
    with ThreadPoolExecutor() as pool:
        with database.transaction() as late:
            late.execute(
                "INSERT INTO stocks_real_time SELECT * FROM stocks_real_time WHERE time < now() - INTERVAL '40 days'"
            )
            retention = pool.submit(run_retention, database)
            await_lock(database)
        with pytest.raises(psycopg2.errors.RaiseException, match="one_minute_candle has 1 of the 2 ticks"):
            retention.result(30)
    run_retention(database)
    assert counts(database) == (1, 3)


def test_late_ticks_to_dropped_chunks_do_not_hold_retention_up(database: Database) -> None:
    """Their candles stay those of all the ticks, which a refresh would replace."""
    old = timedelta(days=49)
    insert(database, old, timedelta(days=4))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('test', 'twelve_data', true); "
            "INSERT INTO ticks_platform.feed_hour "
            "(feed, destination, hour, loaded, last_received_at, counted_since, changed_at) "
            "SELECT 'test', 'stocks_real_time', date_trunc('hour', now() - %s), 1, now(), now(), now()",
            (old,),
        )
    apply(database, RETENTION, FOR_A_MONTH)
    run_retention(database)
    assert counts(database) == (1, 2)
    insert(database, old)
    assert counts(database)[0] == 2
    run_retention(database)
    assert counts(database) == (1, 2)


def test_candles_of_rows_by_hand_outlive_them(database: Database) -> None:
    """A late row brings a dropped chunk back, in which it is alone: its candle is left as it was."""

    def insert_by_hand() -> None:
        with database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price) "
                "SELECT date_trunc('hour', now()) - INTERVAL '49 days', 'AAPL', price "
                "FROM generate_series(1, 3) AS price"
            )

    insert_by_hand()
    insert(database, timedelta(days=4))
    apply(database, MINUTES, minutes())
    apply(database, RETENTION, FOR_A_MONTH)
    run_retention(database)
    assert counts(database) == (1, 4)
    insert_by_hand()
    with database.autocommit() as cursor:
        late = late_ticks.refresh(cursor)
    assert {datetime.now(timezone.utc) - hour.begin < timedelta(days=5) for hour in late.hours} == {True}
    assert counts(database) == (4, 4)
    run_retention(database)
    assert counts(database) == (1, 4)
    with database.autocommit() as cursor:
        assert audit.accounts(cursor) == []


def test_a_retention_job_cannot_be_altered_into_nonsense(database: Database) -> None:
    apply(database, RETENTION, FOR_A_MONTH)
    ((job_id, *_),) = jobs(database)
    with (
        pytest.raises(psycopg2.errors.RaiseException, match="needs an existing hypertable"),
        database.transaction() as cursor,
    ):
        cursor.execute("SELECT alter_job(%s, config => '{}')", (job_id,))


@pytest.mark.parametrize("of", ["the environment", "the database"])
def test_policies_are_made_and_read_whatever_the_interval_style(
    database: Database, server_url: str | None, repository_root: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    if of == "the environment":
        monkeypatch.setenv("PGOPTIONS", "-c intervalstyle=iso_8601 -c datestyle=German")
    elif server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has no ALTER DATABASE … SET")
    else:
        alter_database(database, "SET intervalstyle = iso_8601")
    settings = load_policies(repository_root / "policies.yaml")
    try:
        for policy in POLICIES:
            terms = settings.terms(policy)
            assert apply(database, policy, terms)[0] == ("created" if terms else "off")
            assert apply(database, policy, terms) == ("unchanged" if terms else "off", [])
    finally:
        if of == "the database":
            alter_database(database, "RESET intervalstyle")


def alter_database(database: Database, change: str) -> None:
    with database.autocommit() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone() or ("",)
        cursor.execute(f'ALTER DATABASE "{name}" {change}')
