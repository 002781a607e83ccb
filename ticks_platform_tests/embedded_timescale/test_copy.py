"""COPY, in both directions and formats, and every way in which it fails."""

from __future__ import annotations

import io
import struct

import psycopg
import psycopg2.errors
import psycopg2.extensions
import pytest

from .conftest import Connect, client_process, run, value

Connection = psycopg2.extensions.connection


def copy_in(connection: Connection, sql: str, data: io.IOBase | str | bytes) -> None:
    if isinstance(data, str):
        data = io.StringIO(data)
    elif isinstance(data, bytes):
        data = io.BytesIO(data)
    with connection.cursor() as cursor:
        cursor.copy_expert(sql, data)


def copy_out(connection: Connection, sql: str) -> bytes:
    target = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(sql, target)
    return target.getvalue()


@pytest.mark.full
def test_two_hundred_thousand_rows_there_and_back(connection: Connection, table: str) -> None:
    data = "".join(f"{i}\trow {i}\n" for i in range(200_000))
    copy_in(connection, f"COPY {table} FROM STDIN", data)
    assert run(connection, f"SELECT count(*), sum(a), max(length(b)) FROM {table}") == [(200_000, 19_999_900_000, 10)]
    assert copy_out(connection, f"COPY (SELECT * FROM {table} ORDER BY a) TO STDOUT").decode() == data
    assert connection.notices == []


@pytest.mark.parametrize("options", ["(FORMAT binary)", "WITH BINARY", "WITH (format 'binary')"])
def test_binary(connection: Connection, table: str, options: str) -> None:
    header = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    rows = b"".join(struct.pack("!hii", 2, 4, i) + struct.pack("!i", -1) for i in range(1000))
    data = header + rows + struct.pack("!h", -1)
    copy_in(connection, f"COPY {table} (a, b) FROM STDIN {options}", data)
    assert run(connection, f"SELECT count(*), sum(a), count(b) FROM {table}") == [(1000, 499_500, 0)]
    assert copy_out(connection, f"COPY {table} TO STDOUT (FORMAT binary)") == data


def test_psycopg3(url: str, table: str) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for options in ("", "(FORMAT binary)"):
            with cursor.copy(f"COPY {table} (a, b) FROM STDIN {options}") as copy:
                copy.set_types(["int4", "text"])
                for i in range(1000):
                    copy.write_row((i, "x"))
            with cursor.copy(f"COPY {table} TO STDOUT {options}") as copy:
                copy.set_types(["int4", "text"])
                assert {row[1] for row in copy.rows()} == {"x"}
        assert cursor.execute(f"SELECT count(*) FROM {table}").fetchone() == (2000,)


def test_a_bad_row_undoes_all_of_it(connection: Connection, table: str) -> None:
    data = "1\tone\n2\ttwo\nthree\tthree\n" + "4\tfour\n" * 100_000
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation, match="line 3"):
        copy_in(connection, f"COPY {table} FROM STDIN", data)
    assert value(connection, f"SELECT count(*) FROM {table}") == 0


def test_a_bad_row_within_a_transaction(connect: Connect, table: str) -> None:
    connection = connect(autocommit=False)
    copy_in(connection, f"COPY {table} FROM STDIN", "1\tone\n")
    run(connection, "SAVEPOINT s")
    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        copy_in(connection, f"COPY {table} FROM STDIN", "x\tx\n")
    run(connection, "ROLLBACK TO s")
    connection.commit()
    assert value(connection, f"SELECT count(*) FROM {table}") == 1


def test_a_missing_table(connection: Connection) -> None:
    with pytest.raises(psycopg2.errors.UndefinedTable):
        copy_in(connection, "COPY nowhere FROM STDIN", "1\n")
    assert value(connection, "SELECT 1") == 1


def test_a_client_that_gives_up(connection: Connection, table: str) -> None:
    class Broken(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            raise OSError("disk on fire") if self.tell() else StopIteration

    source = Broken("1\tone\n")
    source.seek(1)
    with pytest.raises(psycopg2.errors.QueryCanceled, match="COPY from stdin failed"):
        copy_in(connection, f"COPY {table} FROM STDIN", source)
    assert value(connection, f"SELECT count(*) FROM {table}") == 0


def test_among_other_statements(connection: Connection, table: str) -> None:
    copy_in(connection, f"BEGIN; COPY {table} FROM STDIN /* no ; */; COMMIT", "1\tone\n")
    assert value(connection, f"SELECT count(*) FROM {table}") == 1
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        copy_in(connection, f"COPY {table} FROM STDIN; COPY {table} FROM STDIN", "1\tone\n")


def test_words_in_a_literal_are_not_a_copy(connection: Connection, table: str) -> None:
    run(connection, f"INSERT INTO {table} VALUES (1, 'x; COPY t FROM STDIN'), (2, $$; COPY t FROM STDIN$$)")
    run(connection, f"-- ; COPY {table} FROM STDIN\nINSERT INTO {table} VALUES (3, E'\\';COPY t FROM STDIN')")
    assert value(connection, f"SELECT count(*) FROM {table}") == 3


def test_a_client_that_dies_inside_a_copy(url: str, connection: Connection, table: str) -> None:
    script = (
        "class Endless:\n"
        "    def read(self, size):\n"
        "        print('copying', flush=True)\n"
        "        return '1\\tone\\n' * 1000\n"
        f"cursor.execute('INSERT INTO {table} VALUES (0)')\n"
        f"cursor.copy_expert('COPY {table} FROM STDIN', Endless())\n"
    )
    with client_process(script, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "copying\n"
    assert value(connection, f"SELECT count(*) FROM {table}") == 0


def test_the_slow_sender_of_a_copy_does_not_keep_others_waiting(url: str, connection: Connection, table: str) -> None:
    script = (
        "connection.autocommit = True\n"
        "class Slow:\n"
        "    def read(self, size):\n"
        "        print('copying', flush=True)\n"
        "        sys.stdin.read()\n"
        f"cursor.copy_expert('COPY {table} FROM STDIN', Slow())\n"
    )
    with client_process(script, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "copying\n"
        assert value(connection, f"SELECT count(*) FROM {table}") == 0
