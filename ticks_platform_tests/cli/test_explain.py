"""`ticks explain`: what it prints, and what its errors say to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ticks_platform.cli.main import ticks
from ticks_platform.timescale.database import Database

Explain = Callable[..., Result]


@pytest.fixture
def explain(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """Runs `ticks explain` in this process, in a project on the tests' database."""
    (tmp_path / "feeds.yaml").write_text("feeds: {}\n", encoding="utf-8")
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("TICKS_DATABASE_URL", database_url)
    return lambda *arguments: CliRunner().invoke(ticks, ["explain", *arguments])


def test_a_candle_and_its_errors(explain: Explain, database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, size, tick_id, feed, received_at, updates) VALUES "
            "('2026-03-03 20:00:01.5Z', 'AAPL', 250.5, 100, '019cb549-3bdc-7000-8000-000000000000', 'tape', now(), 7), "
            "('2026-03-03 20:00:09Z', 'AAPL', 300, 10, '019cb549-5928-7000-8000-000000000000', 'tape', now(), 4)"
        )
    text = explain("AAPL", "2026-03-03T20:00:17")
    assert (text.exit_code, text.stderr) == (0, "2026-03-03T20:00:17 has no zone: taken as UTC\n")
    assert text.stdout.startswith("AAPL, the minute from 2026-03-03 20:00:00Z (all times are UTC)\n")
    assert "Candle: open 250.5, high 250.5, low 250.5, close 250.5, volume 110\n" in text.stdout
    assert "would be high and close: 300 at 20:00:09Z" in text.stdout

    answer = explain("AAPL", "2026-03-03T15:00-05:00", "--every", "1h", "--json")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["candle"]["tick_count"] == 2

    unknown = explain("appl", "2026-03-03T20:00Z")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "ticks: no feed streams 'appl', and there are no ticks of it; did you mean AAPL?\n"

    no_time = explain("AAPL", "yesterday")
    assert no_time.exit_code == 1
    assert no_time.stderr == (
        "ticks: 'yesterday' is not a time: write it as 2026-03-03T20:00Z or 2026-03-03T15:00-05:00\n"
    )


def test_before_there_are_tables(explain: Explain, empty_database: Database) -> None:
    done = explain("AAPL", "2026-03-03T20:00Z")
    assert done.exit_code == 1
    assert "no function explain_candle yet" in done.stderr
