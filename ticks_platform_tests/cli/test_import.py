"""`ticks import`: what it says, and its exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks
from ticks_platform_tests.support.importing import text_of, trades, write
from ticks_platform_tests.support.ingestion import rows

FEEDS = """\
feeds:
  - {name: live, provider: polygon, api_key_env: NO_KEY, symbols: [AAPL]}
  - {name: demo, provider: polygon, endpoint: stand-in, symbols: [AAPL]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "feeds.yaml").write_text(FEEDS)
    return tmp_path


@pytest.mark.full
def test_a_flat_file_into_a_database_without_tables(empty_database: Database, ticks: Ticks, project: Path) -> None:
    write(project / "day.csv.gz", text_of([*trades("AAPL", 30), *trades("MSFT", 10)]))
    done = ticks("import", "day.csv.gz", "--format", "polygon-flat-file")
    assert done.returncode == 0, done.stderr
    assert "day.csv.gz: 30 rows loaded, 0 known, 0 rejected" in done.stderr
    assert rows(empty_database, "SELECT feed, count(*) FROM stocks_real_time GROUP BY feed") == [("live", 30)]
    again = ticks("import", "day.csv.gz", "--format", "polygon-flat-file")
    assert "imported already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "csv"), "no column is time"),
        (("--format", "csv", "--column", "time"), "FIELD=COLUMN"),
        (("--format", "polygon-flat-file", "--feed", "demo"), "synthetic"),
        (("--format", "polygon-flat-file", "--feed", "nope"), "nope"),
    ],
)
def test_what_is_wrong_is_said(
    database: Database, ticks: Ticks, project: Path, arguments: tuple[str, ...], message: str
) -> None:
    write(project / "day.csv", text_of(trades("AAPL", 3)))
    done = ticks("import", "day.csv", *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(0,)]


@pytest.mark.parametrize(
    ("feeds", "arguments", "message"),
    [
        (
            "{name: demo, provider: polygon, endpoint: stand-in, symbols: [AAPL]}",
            ("--format", "csv"),
            "synthetic ticks of the stand-in (demo), and files have live ones: --synthetic says",
        ),
        (
            "{name: live, provider: polygon, api_key_env: NO_KEY, symbols: [AAPL]}",
            ("--format", "csv", "--synthetic"),
            "no feed of feeds.yaml has synthetic ticks (there are: live): leave out --synthetic",
        ),
        (
            "{name: coins, provider: coinbase, symbols: [BTC-USD]}",
            ("--format", "polygon-flat-file"),
            "no feed of feeds.yaml has provider polygon",
        ),
    ],
)
def test_why_no_feed_fits_is_said(
    tmp_path: Path, ticks: Ticks, feeds: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "feeds.yaml").write_text(f"feeds: [{feeds}]")
    write(tmp_path / "day.csv", text_of(trades("AAPL", 3)))
    done = ticks("import", "day.csv", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "--feed" not in done.stderr


def test_rows_that_are_not_stored_are_explained(database: Database, ticks: Ticks, project: Path) -> None:
    write(project / "mine.csv", "time,symbol,price\n2026-03-02T15:00:00Z,AAPL,1\n2026-03-02T15:00:01Z,AAPL,abc\n")
    write(project / "other.csv", "time,symbol,price\n2026-03-02T15:00:00Z,MSFT,1\n")
    done = ticks("import", "mine.csv", "other.csv", "--format", "csv", "--feed", "live")
    assert done.returncode == 0, done.stderr
    assert "mine.csv: 1 rows loaded, 0 known, 1 rejected\n" in done.stderr
    assert "  mine.csv, line 3: could not convert string to float: 'abc'\n" in done.stderr
    assert "other.csv: 0 rows loaded, 0 known, 0 rejected: no rows of the symbols of feed live\n" in done.stderr
    # What the file had before is another file's.
    write(project / "mine.csv", "time,symbol,price\n2026-03-02T15:00:00Z,AAPL,1\n2026-03-02T15:00:01Z,AAPL,x\n")
    done = ticks("import", "mine.csv", "--format", "csv", "--feed", "live")
    assert re.findall(r"^  mine.csv, (line .*)", done.stderr, re.MULTILINE) == [
        "line 3: could not convert string to float: 'x'"
    ]
