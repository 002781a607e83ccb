"""A candle whose file has changed is found, and rebuilt without loss of history, readers, rights and policies."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.candles import definitions as candle_definitions
from ticks_platform.timescale.candles import rebuild as candle_rebuild
from ticks_platform.timescale.candles.candles import CANDLES, ONE_DAY, ONE_HOUR, ONE_MINUTE
from ticks_platform.timescale.candles.definitions import DefinitionError
from ticks_platform.timescale.candles.rebuild import RebuildRefusedError
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import Kind, Policy, load_policies
from ticks_platform_tests.conftest import make_policies
from ticks_platform_tests.support.workers import stopped_workers

READER = f"ticks_test_reader_{uuid.uuid4().hex[:8]}"
"""Roles are the server's: other sessions of the tests may be at work there."""


@pytest.fixture
def sql(tmp_path: Path, repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The platform's SQL, for a test to change."""
    shutil.copytree(repository_root / "sql", tmp_path / "sql")
    shutil.copy(repository_root / "policies.yaml", tmp_path)
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    return tmp_path / "sql"


@pytest.fixture
def database(database: Database, server_url: str | None, sql: Path) -> Iterator[Database]:
    """Candles with policies, which nobody runs."""
    with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
        with database.transaction() as other:
            make_policies(other)
        yield database


def change(sql: Path, candle: str, old: str, new: str) -> None:
    file = sql / "candles" / f"{candle}.sql"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def ask(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def tell(database: Database, statement: str) -> None:
    with database.autocommit() as cursor:
        cursor.execute(statement)


def fill(database: Database) -> None:
    """Four days of a tick an hour, of which those of the first two are gone, materialized in every level."""
    tell(
        database,
        "INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at) "
        "SELECT at, 'AAPL', 100 + extract(hour FROM at), 2, gen_random_uuid(), 'test', at "
        "FROM generate_series(date_trunc('hour', now()) - INTERVAL '4 days', now(), INTERVAL '1 hour') AS at",
    )
    with database.autocommit() as cursor:
        for level in CANDLES:
            candles.refresh_history(cursor, level)
        cursor.execute("SELECT drop_chunks('stocks_real_time', now() - INTERVAL '2 days')")


def rebuild(database: Database, sql: Path, candle: candles.Candle) -> candle_rebuild.Rebuilt:
    with database.transaction() as cursor:
        planned = candle_rebuild.plan(cursor, candle)
    candle_rebuild.try_out(database, planned)
    return candle_rebuild.rebuild(database, planned, load_policies(sql.parent / "policies.yaml"), lambda line: None)


def rows(database: Database, candle: str) -> list[tuple[Any, ...]]:
    return ask(
        database, f"SELECT bucket, symbol, open, high, low, close, volume, tick_count FROM {candle} ORDER BY 1, 2"
    )


def drift(database: Database, candle: candles.Candle) -> candle_definitions.Drift | None:
    with database.transaction() as cursor:
        return candle_definitions.drift(cursor, candle)


def test_a_candle_is_as_in_its_file_however_that_is_written(database: Database, sql: Path) -> None:
    assert [drift(database, level) for level in CANDLES] == [None] * 3
    change(sql, "one_hour_candle", "INTERVAL '1 hour', bucket) AS bucket", "INTERVAL '60 minutes',  bucket)  AS bucket")
    change(sql, "one_hour_candle", "GROUP BY time_bucket(INTERVAL '1 hour', bucket), symbol", "GROUP BY 1, 2")
    assert drift(database, ONE_HOUR) is None


def test_a_changed_definition_is_found(database: Database, sql: Path) -> None:
    change(sql, "one_hour_candle", "max(high) AS high", "max(close) AS high")
    found = drift(database, ONE_HOUR)
    assert found is not None
    assert found.words == "its SELECT is not that of its file"
    assert "+    max(close) AS high," in found.select
    assert [drift(database, level) for level in (ONE_MINUTE, ONE_DAY)] == [None] * 2
    change(sql, "one_hour_candle", "max(close) AS high", "max(no_such_column) AS high")
    with pytest.raises(DefinitionError, match=r"one_hour_candle\.sql cannot be used: column .*no_such_column"):
        drift(database, ONE_HOUR)
    change(sql, "one_hour_candle", "WITH NO DATA", "WITH DATA")
    with pytest.raises(DefinitionError, match=r"one_hour_candle\.sql has to define one_hour_candle"):
        drift(database, ONE_HOUR)


def test_what_is_changed_in_place_is_set_in_place(database: Database, sql: Path) -> None:
    before = ask(database, "SELECT 'one_minute_candle'::regclass::oid")
    tell(database, "ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
    found = drift(database, ONE_MINUTE)
    assert found is not None
    assert found.words == "materialized_only is true, in its file false"
    rebuild(database, sql, ONE_MINUTE)
    assert drift(database, ONE_MINUTE) is None
    assert ask(database, "SELECT 'one_minute_candle'::regclass::oid") == before


def test_history_readers_rights_and_policies_come_along(database: Database, sql: Path) -> None:
    fill(database)
    tell(database, f"CREATE ROLE {READER}")
    tell(database, f"GRANT SELECT ON one_minute_candle, one_hour_candle TO {READER}")
    tell(
        database,
        "CREATE VIEW last_closes AS SELECT symbol, last(close, bucket) AS close FROM one_hour_candle GROUP BY 1",
    )
    try:
        before = {level.name: rows(database, level.name) for level in CANDLES}
        change(sql, "one_minute_candle", "count(*) AS tick_count,", "count(*) AS tick_count,\n    avg(price) AS mean,")
        with database.transaction() as cursor:
            planned = candle_rebuild.plan(cursor, ONE_MINUTE)
        assert planned.rebuilt == CANDLES
        assert {view.name for view in planned.views} >= {"last_closes", "one_minute_candle_volume"}
        assert planned.carried["one_minute_candle"] > 20
        assert planned.obstacles == ()
        done = rebuild(database, sql, ONE_MINUTE)
        assert done.gone == dict.fromkeys(before, 0)
        assert {level.name: rows(database, level.name) for level in CANDLES} == before
        assert [drift(database, level) for level in CANDLES] == [None] * 3
        means = ask(database, "SELECT count(*), count(mean) FROM one_minute_candle")
        assert means == [
            (len(before["one_minute_candle"]), len(before["one_minute_candle"]) - done.carried["one_minute_candle"])
        ]
        assert ask(
            database,
            f"SELECT has_table_privilege('{READER}', name, 'SELECT'), "
            f"has_table_privilege('{READER}', name, 'INSERT') "
            "FROM unnest(ARRAY['one_minute_candle', 'one_hour_candle', 'one_day_candle']) AS name",
        ) == [(True, False), (True, False), (False, False)]
        assert ask(database, "SELECT close FROM last_closes") == [(before["one_hour_candle"][-1][5],)]
        settings = load_policies(sql.parent / "policies.yaml")
        for level in CANDLES:
            policy = Policy(Kind.REFRESH, level.name)
            with database.transaction() as cursor:
                assert policy_jobs.drift(cursor, policy, settings.terms(policy)) == []
        # What comes now reaches all of them, by way of the new ones.
        tell(
            database,
            "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
            "VALUES (now(), 'AAPL', 777, gen_random_uuid(), 'test', now())",
        )
        assert [ask(database, f"SELECT max(high) FROM {level.name}") for level in CANDLES] == [[(777.0,)]] * 3
        assert ask(database, "SELECT close FROM last_closes") == [(777.0,)]
        assert ask(database, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ticks_platform_%'") == [(0,)]
    finally:
        tell(database, "DROP VIEW last_closes")
        tell(database, f"DROP OWNED BY {READER}")
        tell(database, f"DROP ROLE {READER}")


def test_views_follow_the_type_of_a_column(database: Database, sql: Path) -> None:
    """Such a view is made again, with its readers and what is said of it."""
    fill(database)
    before = ask(database, "SELECT session, tick_count FROM session_day_candle ORDER BY 1")
    tell(database, f"CREATE ROLE {READER}")
    tell(database, "CREATE VIEW counts AS SELECT bucket, tick_count FROM one_hour_candle")
    tell(database, "CREATE VIEW sums AS SELECT sum(tick_count) FROM counts")
    tell(database, f"GRANT SELECT ON counts, session_day_candle TO {READER}")
    tell(database, "COMMENT ON VIEW counts IS 'Mine.'; COMMENT ON COLUMN counts.tick_count IS 'How many''s.'")
    try:
        change(sql, "one_minute_candle", "count(*) AS tick_count", "count(*)::numeric AS tick_count")
        change(sql, "one_hour_candle", "sum(tick_count)::bigint", "sum(tick_count)")
        change(sql, "one_day_candle", "sum(tick_count)::bigint", "sum(tick_count)")
        change(sql, "session_day_candle", "sum(tick_count)::bigint", "sum(tick_count)")
        rebuild(database, sql, ONE_MINUTE)
        types = "SELECT pg_typeof(tick_count)::text FROM {} LIMIT 1"
        views = ("counts", "session_day_candle")
        assert [ask(database, types.format(view)) for view in views] == [[("numeric",)]] * 2
        assert [ask(database, f"SELECT has_table_privilege('{READER}', '{view}', 'SELECT')") for view in views] == [
            [(True,)]
        ] * 2
        assert ask(database, "SELECT * FROM sums") == ask(database, "SELECT sum(tick_count) FROM one_hour_candle")
        assert ask(database, "SELECT obj_description('counts'::regclass), col_description('counts'::regclass, 2)") == [
            ("Mine.", "How many's.")
        ]
        assert ask(database, "SELECT session, tick_count FROM session_day_candle ORDER BY 1") == before
    finally:
        tell(database, "DROP VIEW counts CASCADE")
        tell(database, f"DROP OWNED BY {READER}")
        tell(database, f"DROP ROLE {READER}")


def test_a_view_that_cannot_be_made_again_is_refused(database: Database, sql: Path) -> None:
    tell(database, "CREATE VIEW counts AS SELECT bucket, tick_count FROM one_day_candle")
    tell(database, "CREATE MATERIALIZED VIEW sums AS SELECT sum(tick_count) FROM counts")
    try:
        change(sql, "one_day_candle", "sum(tick_count)::bigint", "sum(tick_count)")
        with pytest.raises(RebuildRefusedError, match="on it\nDETAIL:  materialized view sums depends"):
            rebuild(database, sql, ONE_DAY)
    finally:
        tell(database, "DROP VIEW counts CASCADE")


def test_only_the_levels_that_are_made_of_it_are_made_anew(database: Database, sql: Path) -> None:
    fill(database)
    minutes = ask(database, "SELECT 'one_minute_candle'::regclass::oid")
    before = rows(database, "one_day_candle")
    change(sql, "one_hour_candle", "max(high) AS high", "max(high) + 1 AS high")
    rebuild(database, sql, ONE_HOUR)
    assert ask(database, "SELECT 'one_minute_candle'::regclass::oid") == minutes
    after = rows(database, "one_day_candle")
    assert [row[0] for row in after] == [row[0] for row in before]
    # The first day may have been made of more than there is, so that it was carried over.
    assert [row[3] for row in after[1:]] == [row[3] + 1 for row in before[1:]]


def test_what_would_not_come_along_is_refused(database: Database, sql: Path) -> None:
    change(sql, "one_day_candle", "max(high) AS high", "max(close) AS high")
    tell(
        database,
        "CREATE MATERIALIZED VIEW weekly WITH (timescaledb.continuous) AS "
        "SELECT time_bucket('7 days', bucket), max(high) FROM one_day_candle GROUP BY 1 WITH NO DATA",
    )
    try:
        with database.transaction() as cursor:
            planned = candle_rebuild.plan(cursor, ONE_DAY)
        assert planned.obstacles == ("one_day_candle: weekly is made from it: drop it, and make it again afterwards",)
        with pytest.raises(RebuildRefusedError, match="weekly"):
            candle_rebuild.rebuild(database, planned, load_policies(sql.parent / "policies.yaml"), lambda line: None)
    finally:
        tell(database, "DROP MATERIALIZED VIEW weekly")


def test_a_rebuild_that_fails_leaves_everything_as_it_was(
    database: Database, sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    before = ask(
        database, "SELECT view_name, materialization_hypertable_name FROM timescaledb_information.continuous_aggregates"
    )
    jobs = ask(database, "SELECT job_id, scheduled FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1")
    tell(database, "CREATE VIEW ranges AS SELECT high - low AS spread FROM one_hour_candle")
    try:
        change(sql, "one_hour_candle", "max(high) AS high", "max(high)::text AS high")
        with database.transaction() as cursor:
            planned = candle_rebuild.plan(cursor, ONE_HOUR)
        with pytest.raises(RebuildRefusedError, match="the database refuses it: "):
            candle_rebuild.try_out(database, planned)
        with pytest.raises(psycopg2.Error):
            candle_rebuild.rebuild(database, planned, load_policies(sql.parent / "policies.yaml"), lambda line: None)
    finally:
        tell(database, "DROP VIEW ranges")
    assert (
        ask(
            database,
            "SELECT view_name, materialization_hypertable_name FROM timescaledb_information.continuous_aggregates",
        )
        == before
    )
    assert (
        ask(database, "SELECT job_id, scheduled FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1")
        == jobs
    )
