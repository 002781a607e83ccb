"""`ticks explain`: what it prints, and what its errors say to do."""

from __future__ import annotations

import json
from pathlib import Path

from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks


def test_a_candle_and_its_errors(ticks: Ticks, demo: Path, database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates) VALUES "
            "('2026-03-03 20:00:01.5Z', 'AAPL', 250.5, 100, gen_random_uuid(), 'tape', now(), NULL), "
            "('2026-03-03 20:00:09Z', 'AAPL', 300, 10, gen_random_uuid(), 'tape', now(), 4)"
        )
    text = ticks("explain", "AAPL", "2026-03-03T20:00:17", cwd=demo)
    assert (text.returncode, text.stderr) == (0, "2026-03-03T20:00:17 has no zone: taken as UTC\n")
    assert text.stdout.startswith("AAPL, the minute from 2026-03-03 20:00:00Z (all times are UTC)\n")
    assert "Candle: open 250.5, high 250.5, low 250.5, close 250.5, volume 110\n" in text.stdout
    assert "would be the high: 300 at 20:00:09Z" in text.stdout

    answer = ticks("explain", "AAPL", "2026-03-03T15:00-05:00", "--every", "1h", "--json", cwd=demo)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["candle"]["tick_count"] == 2

    unknown = ticks("explain", "appl", "2026-03-03T20:00Z", cwd=demo)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "ticks: no feed streams 'appl', and there are no ticks of it; did you mean AAPL?\n"

    no_time = ticks("explain", "AAPL", "yesterday", cwd=demo)
    assert no_time.returncode == 1
    assert no_time.stderr == (
        "ticks: 'yesterday' is no time: write it as 2026-03-03T20:00Z or 2026-03-03T15:00-05:00\n"
    )


def test_before_there_are_tables(ticks: Ticks, demo: Path, empty_database: Database) -> None:
    done = ticks("explain", "AAPL", "2026-03-03T20:00Z", cwd=demo)
    assert done.returncode == 1
    assert "no function explain_candle yet" in done.stderr
