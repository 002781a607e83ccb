"""``kill -9``: nothing that was committed is lost, nothing that was not is there."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path

import psycopg2
import pytest

import embedded_timescale

from .conftest import Connect, client_process, kill_server, run, value

HYPERTABLE = """
    CREATE TABLE ticks (time timestamptz NOT NULL, symbol text NOT NULL, price float8);
    SELECT create_hypertable('ticks', 'time');
"""


@pytest.mark.full
def test_the_first_statement_after_a_restart_fills_chunks(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    run(connect(embedded_timescale.ensure_running(data_dir)), HYPERTABLE)
    assert embedded_timescale.stop(data_dir)
    restarted = connect(embedded_timescale.ensure_running(data_dir))
    run(restarted, "INSERT INTO ticks VALUES ('2026-01-02', 'AAPL', 1)")
    assert value(restarted, "SELECT count(*) FROM ONLY ticks") == 0
    assert value(restarted, "SELECT count(*) FROM show_chunks('ticks')") == 1


@pytest.mark.full
def test_killed_between_commits(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    connection = connect(embedded_timescale.ensure_running(data_dir), autocommit=False)
    run(connection, HYPERTABLE)
    connection.commit()
    committed: list[int] = []

    def insert_until_it_fails() -> None:
        with contextlib.suppress(psycopg2.OperationalError, psycopg2.InterfaceError):
            for i in itertools.count():
                for symbol in "AB":
                    time = f"'2026-01-01'::timestamptz + interval '{i} h'"
                    run(connection, f"INSERT INTO ticks VALUES ({time}, '{symbol}', {i})")
                connection.commit()
                committed.append(i)
                if i == 100:
                    half_way.set()

    half_way = threading.Event()
    thread = threading.Thread(target=insert_until_it_fails)
    thread.start()
    assert half_way.wait(30)
    kill_server(data_dir)
    thread.join()

    after = connect(embedded_timescale.ensure_running(data_dir))
    per_symbol = dict(run(after, "SELECT symbol, count(*) FROM ticks GROUP BY symbol"))
    assert per_symbol["A"] == per_symbol["B"]
    # The one commit that was on its way may have been done without its answer getting out.
    assert per_symbol["A"] in (len(committed), len(committed) + 1)
    assert value(after, "SELECT count(*) FROM ONLY ticks") == 0


@pytest.mark.full
def test_killed_in_the_middle_of_a_copy(scratch: Path, connect: Connect) -> None:
    data_dir = scratch / "db"
    url = embedded_timescale.ensure_running(data_dir)
    run(connect(url), HYPERTABLE)
    script = (
        "import io\n"
        "data = ''.join(f'2026-01-01 00:00:{i % 60:02d}+00\\tS{i % 9}\\t{i}\\n' for i in range(400_000))\n"
        "cursor.copy_expert('COPY ticks FROM STDIN', io.StringIO(data[: len(data) // 4]) )\n"
        "connection.commit()\n"
        "print('committed', flush=True)\n"
        "for _ in range(1000):\n"
        "    cursor.copy_expert('COPY ticks FROM STDIN', io.StringIO(data))\n"
        "    connection.rollback()\n"
    )
    with client_process(script.replace("len(data) // 4", "data.index('\\n', len(data) // 4) + 1"), url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        kill_server(data_dir)
    after = connect(embedded_timescale.ensure_running(data_dir))
    count = value(after, "SELECT count(*) FROM ticks")
    assert isinstance(count, int)
    assert 90_000 < count < 110_000
    assert value(after, "SELECT count(*) FROM (SELECT price FROM ticks GROUP BY price HAVING count(*) > 1) twice") == 0
