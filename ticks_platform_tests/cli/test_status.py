"""`ticks status`, `ticks export` and `ticks replay`, `ticks database`."""

from __future__ import annotations

import json
from pathlib import Path

from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks


def test_status_before_there_are_tables(ticks: Ticks, demo: Path, empty_database: Database) -> None:
    done = ticks("status", cwd=demo)
    assert done.returncode == 1
    assert "no tables yet" in done.stderr


def test_status_of_a_feed_that_nobody_ingests(ticks: Ticks, demo: Path, database: Database) -> None:
    done = ticks("status", "--json", cwd=demo)
    assert done.returncode == 1
    (feed,) = json.loads(done.stdout)["feeds"]
    assert (feed["feed"], feed["enabled"], feed["ingesting"], feed["is_well"]) == ("stand_in", True, False, False)
    assert "stand_in: never ingested" in ticks("status", cwd=demo).stdout


def test_a_command_outside_of_a_project_says_so(ticks: Ticks, tmp_path: Path, database: Database) -> None:
    done = ticks("status", TICKS_PROJECT_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "feeds.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_export_of_nothing_and_replay_of_what_is_no_journal(ticks: Ticks, demo: Path, database: Database) -> None:
    exported = ticks("export", "stand_in", "out.sqlite3", cwd=demo)
    assert exported.returncode == 1
    assert "journal" in exported.stderr
    (demo / "no_journal.sqlite3").write_bytes(b"no journal")
    replayed = ticks("replay", "no_journal.sqlite3", cwd=demo)
    assert replayed.returncode == 1
    assert "Traceback" not in replayed.stderr


def test_the_env_file_of_the_project_is_read(ticks: Ticks, demo: Path, database_url: str, database: Database) -> None:
    (demo / ".env").write_text("TICKS_STATE_DIR=/dev/null/nowhere\nTICKS_ALERT_WEBHOOK=\n", encoding="utf-8")
    assert ticks("status", cwd=demo).returncode == 1, "the environment comes first: its TICKS_STATE_DIR is used"
