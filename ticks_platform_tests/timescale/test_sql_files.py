"""Which file under sql/ is read: the platform's, or the project's own where it may replace one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticks_platform import paths
from ticks_platform.timescale import sql_files


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has files of its own for everything it may replace, and for what it may not."""
    for name in ("candles/one_minute_candle.sql", "queries/checks/ohlc_invariants.sql", "schema/feed.sql"):
        (tmp_path / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sql" / name).write_text(f"-- mine: {name}", encoding="utf-8")
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(tmp_path))
    return tmp_path


def test_a_project_replaces_candles_and_checks_and_nothing_else(project: Path) -> None:
    assert sql_files.read("candles/one_minute_candle.sql") == "-- mine: candles/one_minute_candle.sql"
    assert sql_files.read("queries/checks/ohlc_invariants.sql").startswith("-- mine")
    assert "CREATE TABLE" in sql_files.read("schema/feed.sql")
    assert "CREATE MATERIALIZED VIEW" in sql_files.read("candles/one_hour_candle.sql")
    used, unknown = sql_files.overrides(project)
    assert used == ["candles/one_minute_candle.sql", "queries/checks/ohlc_invariants.sql"]
    assert unknown == ["schema/feed.sql"]


def test_a_changed_file_is_read_again(project: Path) -> None:
    file = project / "sql/candles/one_minute_candle.sql"
    assert sql_files.read("candles/one_minute_candle.sql").startswith("-- mine")
    file.write_text("-- another one", encoding="utf-8")
    assert sql_files.read("candles/one_minute_candle.sql") == "-- another one"
    file.unlink()
    assert "CREATE MATERIALIZED VIEW" in sql_files.read("candles/one_minute_candle.sql")


def test_the_checkout_replaces_nothing_of_itself(repository_root: Path) -> None:
    assert sql_files.overrides(repository_root) == ([], [])


def test_files_come_from_the_checkout_or_else_from_the_package(
    repository_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_wheel.py has the same with a real wheel."""
    assert paths.shipped("sql") == repository_root / "sql"
    package = tmp_path / "site-packages" / "ticks_platform"
    monkeypatch.setattr(paths, "_package", lambda: package)
    assert paths.shipped("sql") == package / "sql"


@pytest.mark.parametrize("depth", ["", "a/b"])
def test_the_project_is_the_nearest_folder_with_a_feeds_yaml(
    depth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TICKS_PROJECT_DIR", raising=False)
    (tmp_path / "feeds.yaml").touch()
    (tmp_path / depth).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / depth)
    assert paths.project_root() == tmp_path
