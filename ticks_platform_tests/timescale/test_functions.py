"""The functions in the database: they mean the platform's own objects, whatever search_path their caller has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs as policy_jobs
from ticks_platform.timescale.policies.settings import Kind, Policy, Terms
from ticks_platform_tests.support.workers import stopped_workers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

RETENTION = Policy(Kind.RETENTION, "stocks_real_time")
FOR_A_MONTH = Terms(timedelta(days=1), {"drop_after": timedelta(days=30)})
CONFIG = '{"hypertable": "stocks_real_time", "drop_after": "30 days"}'

COMMITTING = {"drop_old_chunks"}
"""Procedures that commit, which PostgreSQL lets have no settings: they set the path of own_search_path themselves."""

ROUTINES = """
SELECT proname::text, prokind = 'p', proconfig, prosrc
FROM pg_proc
WHERE pronamespace = 'ticks_platform'::regnamespace AND prokind <> 'a'
ORDER BY proname
"""

HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2100-01-01 00:00+00' $$;
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT timestamptz '1990-01-01 00:00+00' $$;
CREATE FUNCTION hostile.current_schema() RETURNS name LANGUAGE sql AS $$ SELECT 'hostile'::name $$;
CREATE FUNCTION hostile.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'hostile' $$;
CREATE FUNCTION hostile.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'hostile' $$;
CREATE FUNCTION hostile.to_regclass(text) RETURNS regclass LANGUAGE sql AS $$ SELECT NULL::regclass $$;
CREATE FUNCTION hostile.time_bucket(interval, timestamptz) RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT timestamptz '1990-01-01 00:00+00' $$;
CREATE FUNCTION hostile.earlier(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR hostile.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.earlier);
CREATE FUNCTION hostile.drop_chunks(regclass, older_than timestamptz) RETURNS SETOF text LANGUAGE sql
    AS $$ DELETE FROM public.stocks_real_time; SELECT 'all of them' $$;
CREATE TABLE hostile.stocks_real_time (LIKE public.stocks_real_time);
CREATE TABLE hostile.one_minute_candle (bucket timestamptz, symbol text, tick_count bigint);
CREATE TEMP TABLE one_minute_candle (bucket timestamptz, symbol text, tick_count bigint);
SET search_path = hostile, public, pg_catalog;
"""
"""A session in which other objects come first under the names that the functions use."""


@pytest.fixture
def database(database: Database, server_url: str | None) -> Iterator[Database]:
    """With all functions, and a retention policy that nobody runs."""
    with database.autocommit() as cursor, stopped_workers(cursor, native=server_url is not None):
        with database.transaction() as other:
            sql_files.apply(other, *sql_files.CANDLE_REASONS)
            policy_jobs.apply(other, RETENTION, FOR_A_MONTH)
        try:
            yield database
        finally:
            with database.transaction() as other:
                other.execute("DROP SCHEMA IF EXISTS hostile CASCADE")


def routines(database: Database) -> dict[str, tuple[bool, list[str] | None, str]]:
    """Of each function and procedure of the platform: whether it is a procedure, its settings, its body."""
    with database.transaction() as cursor:
        cursor.execute(ROUTINES)
        return {name: rest for name, *rest in cursor.fetchall()}


def insert(cursor: Cursor, *days_ago: float) -> None:
    for ago in days_ago:
        cursor.execute(
            "INSERT INTO public.stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
            "SELECT at, 'AAPL', 1, gen_random_uuid(), 'test', at "
            "FROM (SELECT date_trunc('day', now()) - %s * INTERVAL '1 day' + INTERVAL '1 hour' AS at) AS tick",
            (ago,),
        )


def answers(cursor: Cursor) -> list[list[tuple[Any, ...]]]:
    """What the functions say."""
    found = []
    for query in (
        "SELECT * FROM ticks_platform.candle_reasons("
        "'AAPL', current_date - 49, current_date - 49 + INTERVAL '3 hours', '1 hour')",
        "SELECT ticks_platform.why_no_candle('AAPL', current_date - 49 + INTERVAL '2 hours')",
        "SELECT ticks_platform.why_no_candle('AAPL', current_date + 2)",
        "SELECT * FROM ticks_platform.droppable_chunks('stocks_real_time', current_date - 30)",
        "SELECT * FROM ticks_platform.candles_behind('stocks_real_time', current_date - 30)",
        "SELECT ticks_platform.own_search_path()",
        f"SELECT ticks_platform.check_drop_old_chunks('{CONFIG}')",
        "SELECT public.explain_candle('AAPL', current_date - 49 + INTERVAL '1 hour', '1 hour')",
    ):
        cursor.execute(query)
        found.append(cursor.fetchall())
    return found


def test_every_function_fixes_its_search_path(database: Database) -> None:
    found = routines(database)
    assert found.keys() >= {"candle_reasons", "why_no_candle", "candles_behind", "droppable_chunks", "drop_old_chunks"}
    for name, (is_procedure, settings, body) in found.items():
        if name in COMMITTING:
            assert is_procedure
            assert settings is None
            first = body.partition("BEGIN")[2].strip().partition(";")[0]
            assert first == "PERFORM pg_catalog.set_config('search_path', ticks_platform.own_search_path(), true)"
            assert body.count(first) == 1 + body.count("COMMIT;"), "each commit ends the path that was set before it"
        elif body:
            # Without a body as text, the names were resolved when it was created.
            assert settings == ["search_path=public, pg_temp"], f"{name} means what its caller's search_path says"


def test_a_hostile_search_path_changes_no_answer(database: Database) -> None:
    with database.transaction() as cursor:
        insert(cursor, 49, 4)
        cursor.execute("INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('test', 'x', true)")
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('test', 'AAPL', now() - INTERVAL '60 days', 'always')"
        )
    with database.autocommit() as cursor:
        before = answers(cursor)
        assert [reason for _, reason in before[0]] == ["no_trade", "candle", "no_trade"]
        assert before[1:3] == [[("no_trade",)], [("not_over",)]]
        assert [len(rows) for rows in before[3:5]] == [1, 1]
    with database.autocommit() as cursor:
        cursor.execute(HOSTILE)
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone() or (None,)
        assert now is not None
        assert now.year == 2100, "the session is as hostile as it is meant to be"
        assert answers(cursor) == before


def test_a_hostile_search_path_makes_retention_drop_nothing_else(database: Database) -> None:
    with database.transaction() as cursor:
        insert(cursor, 49, 40, 4)
    with database.autocommit() as cursor:
        cursor.execute(HOSTILE)
        cursor.execute(f"CALL ticks_platform.drop_old_chunks(0, '{CONFIG}')")
        cursor.execute("SELECT pg_catalog.current_setting('search_path')")
        assert cursor.fetchone() == ("hostile, public, pg_catalog",)
        cursor.execute("SELECT count(*) FROM public.stocks_real_time")
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT sum(tick_count)::int FROM public.one_minute_candle")
        assert cursor.fetchone() == (3,), "the candles were brought up to date before"


def test_the_callers_search_path_is_given_back(database: Database) -> None:
    with database.transaction() as cursor:
        insert(cursor, 4)
        cursor.execute("SET LOCAL search_path = ticks_platform, public")
        cursor.execute(f"CALL ticks_platform.drop_old_chunks(0, '{CONFIG}')")
        cursor.execute("SELECT current_setting('search_path')")
        assert cursor.fetchone() == ("ticks_platform, public",)


OLD = """
CREATE OR REPLACE FUNCTION ticks_platform.droppable_chunks(hypertable text, before timestamptz)
RETURNS TABLE (begins_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT range_start, range_end
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema() AND hypertable_name = droppable_chunks.hypertable
        AND range_end <= droppable_chunks.before
    ORDER BY range_start
$$;
ALTER FUNCTION ticks_platform.candles_behind RESET ALL;
ALTER FUNCTION ticks_platform.check_drop_old_chunks RESET ALL;
ALTER FUNCTION ticks_platform.candle_reasons RESET ALL;
ALTER FUNCTION ticks_platform.why_no_candle RESET ALL;
DROP FUNCTION ticks_platform.own_search_path;
CREATE OR REPLACE PROCEDURE ticks_platform.drop_old_chunks(job_id integer, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    hypertable text := config ->> 'hypertable';
    cutoff timestamptz := now() - (config ->> 'drop_after')::interval;
BEGIN
    PERFORM drop_chunks(hypertable::regclass, older_than => cutoff);
END
$$;
"""
"""As the release before made them, in what matters here."""


def test_a_database_of_the_release_before_gets_the_new_definitions(database: Database) -> None:
    new = routines(database)
    with database.transaction() as cursor:
        cursor.execute("SELECT job_id, config::text FROM timescaledb_information.jobs WHERE job_id >= 1000")
        jobs = cursor.fetchall()
        cursor.execute(OLD)
    assert routines(database) != new
    with database.transaction() as cursor:
        assert policy_jobs.apply(cursor, RETENTION, FOR_A_MONTH).outcome == "unchanged"
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
    assert routines(database) == new
    with database.transaction() as cursor:
        cursor.execute("SELECT job_id, config::text FROM timescaledb_information.jobs WHERE job_id >= 1000")
        assert cursor.fetchall() == jobs


def test_functions_find_tables_in_a_schema_of_the_users_own(database: Database) -> None:
    """What is on the search_path when they are made is fixed, by the names of the schemas."""
    with database.transaction() as cursor:
        cursor.execute('CREATE SCHEMA "My Market"')
        cursor.execute('SET LOCAL search_path = "$user", pg_catalog, "My Market", public')
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS)
        cursor.execute("SELECT proconfig FROM pg_proc WHERE proname = 'candle_reasons'")
        assert cursor.fetchone() == (['search_path="My Market", public, pg_temp'],)
        cursor.execute("SELECT current_setting('search_path')")
        assert cursor.fetchone() == ('"$user", pg_catalog, "My Market", public',)
        cursor.connection.rollback()
