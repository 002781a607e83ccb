"""Statements that run for too long are interrupted; what one session for all cannot do is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest

import embedded_timescale

Connect = Callable[..., "psycopg2.extensions.connection"]

BUSY = "DO $$ BEGIN LOOP END LOOP; END $$"
"""Computes for ever and calls nothing."""


@pytest.mark.parametrize(
    "statement", [BUSY, "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"]
)
def test_statement_timeout(connection: psycopg2.extensions.connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '300ms'")
        began = time.monotonic()
        with pytest.raises(psycopg2.errors.QueryCanceled, match="due to statement timeout"):
            cursor.execute(statement)
        assert 0.25 < time.monotonic() - began < 5
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_it_is_the_sessions_own(connect: Connect) -> None:
    with (
        closing(connect(autocommit=False, options="-c statement_timeout=200")) as hasty,
        closing(connect(autocommit=False)) as patient,
    ):
        with patient.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM generate_series(1, 200000)")
            assert cursor.fetchone() == (200_000,)
        patient.rollback()
        with hasty.cursor() as cursor, pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute(BUSY)
        hasty.rollback()
        with hasty.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SELECT count(*) FROM generate_series(1, 200000)")


def test_set_local_ends_with_its_transaction(connect: Connect) -> None:
    with closing(connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 200")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute(BUSY)
        connection.rollback()
        cursor.execute("SELECT count(*) FROM generate_series(1, 200000)")


def test_what_was_committed_stays(connect: Connect) -> None:
    with closing(connect(autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE kept (number int)")
        connection.commit()
        cursor.execute("INSERT INTO kept VALUES (1)")
        connection.commit()
        cursor.execute("SET statement_timeout = 200; INSERT INTO kept VALUES (2)")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute(BUSY)
        connection.rollback()
        cursor.execute("SELECT array_agg(number) FROM kept")
        assert cursor.fetchone() == ([1],)


@pytest.mark.full
def test_no_statement_holds_up_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_EMBEDDED_STATEMENT_SECONDS", "1")
    url = embedded_timescale.ensure_running(tmp_path / "data")
    try:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 1 AS number")
            connection.commit()
            with pytest.raises(psycopg2.errors.QueryCanceled):
                cursor.execute(BUSY)
            # It sleeps and does not look at its interrupts: the server ends, and the next one has what was committed.
            connection.rollback()
            with pytest.raises(psycopg2.OperationalError):
                cursor.execute("SELECT pg_sleep(60)")
        url = embedded_timescale.ensure_running(tmp_path / "data")
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchone() == (1,)
    finally:
        embedded_timescale.stop(tmp_path / "data")


@pytest.mark.parametrize(
    "statement",
    [
        "LISTEN news",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
    ],
)
def test_what_would_do_nothing_is_refused(connection: psycopg2.extensions.connection, statement: str) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.FeatureNotSupported, match="all clients share one session"):
            cursor.execute(statement)
        # What is right within a turn, what resets a session, and text that is none of it.
        cursor.execute("SELECT pg_advisory_xact_lock(1), 'pg_advisory_lock(1); LISTEN'")
        cursor.execute("SELECT pg_advisory_unlock_all(); UNLISTEN *; RESET ALL; NOTIFY news")
