"""The other way round: what a newer version has written is refused in words, and left as it is."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion.__main__ import main as ingestion_command
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.settings_file import SettingsError
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies.settings import load_policies
from ticks_platform_tests.upgrade.dump import FOLDER, Dump


@pytest.fixture
def newer_journal(tmp_path: Path, repository_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of a pair, in whose layout there is something that nobody here knows; no database can be reached."""
    (tmp_path / "sql").symlink_to(repository_root / "sql", target_is_directory=True)
    shutil.copy(FOLDER / "feeds.yaml", tmp_path)
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    Dump().restore_journals(tmp_path)
    path = tmp_path / "journal" / "stocks.2.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as journal:
        journal.execute("ALTER TABLE frame_group ADD COLUMN more TEXT")
        journal.execute("PRAGMA user_version = 99")
    return path


def test_a_newer_journal_is_not_appended_to(newer_journal: Path) -> None:
    before = newer_journal.read_bytes()
    feed = load_settings(FOLDER / "feeds.yaml").feed("stocks")
    connector = feed.connector(stand_in_url="ws://127.0.0.1:1/none")
    database = Database("postgresql://127.0.0.1:1/none")
    with (
        Ingestion(feed=feed, connector=connector, database=database, owner="old run") as ingestion,
        pytest.raises(JournalError, match=r"stocks\.2\.sqlite3 was written by a newer version.*layout 99.*update"),
    ):
        ingestion.wait(60)
    assert newer_journal.read_bytes() == before


def test_a_newer_journal_is_not_replayed(newer_journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = newer_journal.read_bytes()
    assert ingestion_command(["replay", str(newer_journal)]) == 1
    assert "was written by a newer version of ticks_platform (layout 99" in capsys.readouterr().err
    assert newer_journal.read_bytes() == before


def test_options_of_a_newer_version_are_named(tmp_path: Path) -> None:
    feeds = tmp_path / "feeds.yaml"
    feeds.write_text((FOLDER / "feeds.yaml").read_text(encoding="utf-8") + "    colour: red\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"abroad\.colour"):
        load_settings(feeds)
    policies = tmp_path / "policies.yaml"
    text = (FOLDER / "settings" / "policies.full.yaml").read_text(encoding="utf-8")
    policies.write_text(text + "archive: {stocks_real_time: off}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="archive"):
        load_policies(policies)
