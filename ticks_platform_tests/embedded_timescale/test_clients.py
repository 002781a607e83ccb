"""The drivers that people use, through the bridge."""

from __future__ import annotations

import shutil
import subprocess

import psycopg
import psycopg2
import psycopg2.errors
import pytest
import sqlalchemy

from .conftest import Connect, run, value


def test_parameters_are_right_at_connect(connect: Connect) -> None:
    connection = connect()
    told = {
        name: connection.info.parameter_status(name)
        for name in ("client_encoding", "standard_conforming_strings", "integer_datetimes", "TimeZone", "DateStyle")
    }
    assert told == {
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
        "integer_datetimes": "on",
        "TimeZone": "UTC",
        "DateStyle": "ISO, MDY",
    }
    assert connection.server_version == 170005


def test_startup_packet_settings_are_honoured(connect: Connect) -> None:
    connection = connect(options="-c work_mem=12MB -c TimeZone=asia/tokyo", application_name="loader of ticks")
    assert value(connection, "SHOW work_mem") == "12MB"
    assert connection.info.parameter_status("TimeZone") == "Asia/Tokyo"
    assert value(connection, "SHOW application_name") == "loader of ticks"
    run(connection, "SET TimeZone = 'Europe/Berlin'")
    assert connection.info.parameter_status("TimeZone") == "Europe/Berlin"
    run(connection, "RESET ALL")
    assert value(connection, "SHOW TimeZone") == "Asia/Tokyo"
    assert value(connection, "SHOW client_min_messages") == "warning"


def test_client_encodings_are_refused_but_for_utf8(connect: Connect) -> None:
    connection = connect(client_encoding="utf-8")
    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="LATIN1"):
        connection.set_client_encoding("LATIN1")
    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="latin1"):
        run(connection, "SELECT set_config('client_encoding', 'latin1', false)")
    run(connection, "SET client_encoding = 'UTF8'")
    run(connection, "SELECT 'set names latin1'")
    assert value(connection, "SELECT U&'\\00e9'") == "é"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"options": "-c work_mem=lots"}, "work_mem"),
        ({"dbname": "ticks"}, 'database "ticks" does not exist'),
        ({"user": "alice"}, 'role "alice"'),
        ({"client_encoding": "LATIN1"}, "can only be UTF8"),
    ],
)
def test_what_cannot_be_served_is_refused_at_connect(connect: Connect, options: dict[str, str], text: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=text):
        connect(**options)
    assert value(connect(), "SELECT 1") == 1


def test_an_error_inside_a_transaction(connect: Connect, table: str) -> None:
    connection = connect(autocommit=False)
    run(connection, f"INSERT INTO {table} VALUES (1)")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        run(connection, "SELECT 1/0")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        run(connection, "SELECT 1")
    connection.rollback()
    assert value(connection, f"SELECT count(*) FROM {table}") == 0
    assert not [notice for notice in connection.notices if "1743" in notice]


def test_a_statement_of_ten_megabytes(connect: Connect) -> None:
    connection = connect()
    text = "it's " * 2_000_000
    assert value(connection, f"SELECT md5($q${text}$q$) = md5('{text.replace(chr(39), chr(39) * 2)}')")
    assert run(connection, "SELECT %s", (text,)) == [(text,)]


def test_server_side_cursor(connect: Connect) -> None:
    connection = connect(autocommit=False)
    with connection.cursor("rows") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT generate_series(1, 10000)")
        assert sum(row[0] for row in cursor) == 50_005_000
    connection.commit()


def test_sqlalchemy(url: str) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        assert connection.execute(sqlalchemy.text("SELECT :a + 1"), {"a": 41}).scalar_one() == 42
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.execute(sqlalchemy.text("SHOW transaction_isolation")).scalar_one() == "serializable"
    assert sqlalchemy.inspect(engine).has_table("pg_class", schema="pg_catalog")
    engine.dispose()


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg3(url: str, binary: bool, table: str) -> None:
    with psycopg.connect(url, prepare_threshold=0) as connection, connection.cursor(binary=binary) as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(i, f"text {i}") for i in range(100)])
        for low in (10, 90):
            cursor.execute(f"SELECT count(*), max(b) FROM {table} WHERE a >= %s", (low,))
            assert cursor.fetchone() == (100 - low, "text 99")
        with pytest.raises(psycopg.errors.DivisionByZero):
            cursor.execute("SELECT 1 / %s::int", (0,))
        connection.rollback()
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)


def test_psycopg3_pipeline_gives_its_turn_back(url: str, connect: Connect) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.pipeline():
            results = [connection.execute("SELECT %s::int", (i,)) for i in range(50)]
            assert [result.fetchone() for result in results] == [(i,) for i in range(50)]
        assert value(connect(), "SELECT 1") == 1


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql(url: str, table: str) -> None:
    script = f"\\copy {table} from pstdin csv\n1,one\n2,two\n\\.\n\\copy {table} to pstdout csv\n\\d {table}\n"
    done = subprocess.run(["psql", "-X", "-v", "ON_ERROR_STOP=1", url], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "COPY 2\n1,one\n2,two\n" in done.stdout
    assert "| integer |" in done.stdout
