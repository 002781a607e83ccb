"""One backend, many clients: what is a client's own stays its own, and every client gets its turn."""

from __future__ import annotations

import concurrent.futures
import threading
from pathlib import Path

import psycopg
import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest

import embedded_timescale

from .conftest import Connect, client_process, run, value, wait_until

Connection = psycopg2.extensions.connection


def test_settings_do_not_leak_and_do_not_get_lost(connect: Connect) -> None:
    one, two = connect(), connect()
    run(one, "SET work_mem = '9MB'")
    run(one, "UPDATE pg_class SET relname = relname WHERE false; SET app.who TO 'one'")
    run(two, "SELECT set_config('work_mem', '7MB', false)")
    run(two, "DO $$ BEGIN SET TimeZone = 'Asia/Tokyo'; END $$")
    three = connect()
    for _ in range(2):
        assert value(one, "SHOW work_mem") == "9MB"
        assert value(one, "SHOW app.who") == "one"
        assert value(one, "SHOW TimeZone") == "UTC"
        assert value(two, "SHOW work_mem") == "7MB"
        assert value(two, "SHOW TimeZone") == "Asia/Tokyo"
        assert value(two, "SELECT current_setting('app.who', true)") in (None, "")
        assert value(three, "SHOW work_mem") == "4MB"
    assert two.info.parameter_status("TimeZone") == "Asia/Tokyo"
    assert one.info.parameter_status("TimeZone") == "UTC"


def test_a_setting_undone_by_rollback_is_reported(connect: Connect) -> None:
    connection = connect(autocommit=False)
    run(connection, "SET TimeZone = 'Asia/Tokyo'")
    assert connection.info.parameter_status("TimeZone") == "Asia/Tokyo"
    connection.rollback()
    assert connection.info.parameter_status("TimeZone") == "UTC"


def test_set_transaction_still_comes_first(connect: Connect) -> None:
    connection = connect()
    run(connection, "BEGIN")
    run(connection, "SET application_name = 'x'")
    run(connection, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    assert value(connection, "SHOW transaction_isolation") == "serializable"
    run(connection, "ROLLBACK")


@pytest.mark.parametrize("name", ["search_path", "client_min_messages", "enable_seqscan", "TimeZone"])
def test_resetting_gives_what_a_new_client_has(connect: Connect, name: str) -> None:
    connection = connect()
    fresh = value(connection, f"SHOW {name}")
    other = {
        "search_path": "pg_catalog",
        "client_min_messages": "error",
        "enable_seqscan": "off",
        "TimeZone": "Asia/Tokyo",
    }
    for reset in (f"RESET {name}", f"SET {name} TO DEFAULT", "RESET ALL", "DISCARD ALL"):
        run(connection, f"SET {name} = '{other[name]}'")
        run(connection, reset)
        assert value(connection, f"SHOW {name}") == fresh


def test_temporary_tables_do_not_leak(connect: Connect) -> None:
    one, two = connect(), connect()
    run(one, "CREATE TEMP TABLE mine (a int); INSERT INTO mine VALUES (1)")
    assert value(one, "SELECT a FROM mine") == 1
    with pytest.raises(psycopg2.errors.UndefinedTable):
        run(two, "SELECT * FROM mine")


@pytest.mark.parametrize("take", ["SET ROLE bob", "SET SESSION AUTHORIZATION bob"])
def test_a_role_taken_by_one_client_is_its_own(connect: Connect, take: str) -> None:
    one, two = connect(), connect()
    run(one, "CREATE ROLE bob")
    try:
        run(two, take)
        for _ in range(2):
            assert run(one, "SELECT session_user, current_user") == [("postgres", "postgres")]
            assert value(two, "SELECT current_user") == "bob"
    finally:
        two.close()
        run(one, "DROP ROLE bob")


def test_prepared_statements_of_sql(connect: Connect) -> None:
    one, two = connect(), connect()
    run(one, "PREPARE p AS SELECT 'one'")
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        run(two, "EXECUTE p")
    run(two, "PREPARE p AS SELECT 'two'")
    assert value(one, "EXECUTE p") == "one"
    assert value(two, "EXECUTE p") == "two"
    run(one, "DEALLOCATE p")
    assert value(two, "EXECUTE p") == "two"
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        run(one, "EXECUTE p")


def test_named_prepared_statements_of_two_interleaved_clients(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as one, psycopg.connect(url, autocommit=True) as two:
        for i in range(20):
            assert one.execute("SELECT %s::int * 2", (i,), prepare=True).fetchone() == (2 * i,)
            assert two.execute("SELECT %s::int * 3", (i,), prepare=True).fetchone() == (3 * i,)
        one.execute("DEALLOCATE ALL")
        assert two.execute("SELECT %s::int * 3", (7,), prepare=True).fetchone() == (21,)
        gone = one.pgconn.exec_prepared(b"_pg3_0", [b"1"])
        assert gone.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000"


def test_a_statement_prepared_twice_is_refused_as_by_postgresql(url: str, connection: Connection) -> None:
    with psycopg.connect(url, autocommit=True) as client:
        assert client.pgconn.prepare(b"s", b"SELECT 1").status == psycopg.pq.ExecStatus.COMMAND_OK
        assert value(connection, "SELECT 1") == 1
        again = client.pgconn.prepare(b"s", b"SELECT 2")
        assert again.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42P05"
        assert client.pgconn.exec_prepared(b"s", []).get_value(0, 0) == b"1"


def test_a_client_in_a_transaction_keeps_the_others_waiting(connect: Connect, table: str) -> None:
    holder, other = connect(autocommit=False), connect()
    run(holder, f"INSERT INTO {table} VALUES (1)")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(value, other, f"SELECT count(*) FROM {table}")
        with pytest.raises(concurrent.futures.TimeoutError):
            waiting.result(timeout=0.2)
        holder.commit()
        assert waiting.result(timeout=60) == 1


def test_turns_are_taken_in_order(connect: Connect, shared_data_dir: Path, table: str) -> None:
    holder = connect(autocommit=False)
    run(holder, "SELECT 1")
    clients = [connect() for _ in range(4)]
    threads = []
    for i, client in enumerate(clients):
        thread = threading.Thread(target=run, args=(client, f"INSERT INTO {table} VALUES ({i})"))
        thread.start()
        threads.append(thread)
        wait_until(lambda count=i + 1: embedded_timescale.status(shared_data_dir).waiting == count)
    holder.commit()
    for thread in threads:
        thread.join()
    assert [row[0] for row in run(holder, f"SELECT a FROM {table} ORDER BY ctid")] == [0, 1, 2, 3]


def test_a_waiting_client_can_be_cancelled(connect: Connect, shared_data_dir: Path) -> None:
    holder, other = connect(autocommit=False), connect()
    run(holder, "SELECT 1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(value, other, "SELECT 1")
        wait_until(lambda: embedded_timescale.status(shared_data_dir).waiting == 1)
        other.cancel()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            waiting.result(timeout=60)
    holder.rollback()
    holder.cancel()
    assert value(other, "SELECT 1") == 1


def test_a_client_that_dies_inside_a_transaction_is_rolled_back(
    url: str, connection: Connection, table: str, shared_data_dir: Path
) -> None:
    script = f"cursor.execute('INSERT INTO {table} VALUES (1)')\nprint('in', flush=True)\ntime.sleep(600)\n"
    with client_process(script, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(value, connection, f"SELECT count(*) FROM {table}")
            wait_until(lambda: embedded_timescale.status(shared_data_dir).waiting == 1)
            process.kill()
            assert waiting.result(timeout=60) == 0


def test_a_client_that_dies_while_it_waits_is_forgotten(
    url: str, connect: Connect, table: str, shared_data_dir: Path
) -> None:
    holder = connect(autocommit=False)
    run(holder, f"INSERT INTO {table} VALUES (1)")
    with client_process(f"cursor.execute('INSERT INTO {table} VALUES (2)')\nconnection.commit()\n", url):
        wait_until(lambda: embedded_timescale.status(shared_data_dir).waiting == 1)
    wait_until(lambda: embedded_timescale.status(shared_data_dir).waiting == 0)
    holder.commit()
    assert value(holder, f"SELECT sum(a) FROM {table}") == 1


def test_a_client_that_dies_while_it_is_sent_rows(url: str, connection: Connection) -> None:
    script = (
        "cursor.copy_expert('COPY (SELECT repeat($$x$$, 1000) FROM generate_series(1, 50000)) TO STDOUT',\n"
        "    type('Stuck', (), {'write': lambda self, text: (print('row', flush=True), time.sleep(600))})())\n"
    )
    with client_process(script, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "row\n"
    assert value(connection, "SELECT 1") == 1


@pytest.mark.full
def test_eight_processes_at_once(url: str, connection: Connection, table: str) -> None:
    run(connection, f"INSERT INTO {table} SELECT i, '0' FROM generate_series(1, 2) i")
    script = (
        "cursor.execute(\"SET work_mem = '6MB'\")\nconnection.commit()\n"
        "for i in range(40):\n"
        f"    cursor.execute('SELECT b::int FROM {table} WHERE a = 1')\n"
        "    seen = cursor.fetchone()[0]\n"
        f"    cursor.execute('UPDATE {table} SET b = %s', (str(seen + 1),))\n"
        "    connection.rollback() if i % 4 == 3 else connection.commit()\n"
        "cursor.execute('SHOW work_mem')\n"
        "print(cursor.fetchone()[0])\n"
    )

    def one(_: int) -> str:
        with client_process(script, url) as process:
            return process.communicate(timeout=60)[0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == ["6MB\n"] * 8
    # Read, then write what was read plus one: any two transactions that overlapped would have lost an update.
    assert run(connection, f"SELECT DISTINCT b FROM {table}") == [(str(8 * 30),)]


def test_waiting_for_an_idle_transaction_ends_with_an_error(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setenv("TICKS_EMBEDDED_WAIT_SECONDS", "0.5")
    url = embedded_timescale.ensure_running(scratch / "db")
    holder, other = connect(url, autocommit=False, application_name="the holder"), connect(url)
    run(holder, "SELECT 1")
    with pytest.raises(psycopg2.errors.LockNotAvailable, match="the holder"):
        run(other, "SELECT 1")
    holder.rollback()
    assert value(other, "SELECT 1") == 1
