"""`ticks init`: a project that loads, and that nothing of a user's is lost to."""

from __future__ import annotations

import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform import CandleFrames, Database, DatabaseResource
from ticks_platform.cli.init import _package_name
from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion.lease import register_feed
from ticks_platform.timescale.policies.settings import load_policies
from ticks_platform_tests.cli.conftest import Ticks
from ticks_platform_tests.support.candles import insert, refresh

FILES = {
    ".env",
    ".gitignore",
    "Makefile",
    "dagster.yaml",
    "dg.toml",
    "feeds.yaml",
    "policies.yaml",
    "workspace.yaml",
    "demo/__init__.py",
    "demo/definitions.py",
    "demo/defs/__init__.py",
    "demo/defs/hourly_features.py",
    "demo/defs/latest_closes.py",
}


def test_a_new_project_has_these_files(demo: Path) -> None:
    found = {str(path.relative_to(demo)) for path in demo.rglob("*") if path.is_file()}
    assert found == FILES
    (feed,) = load_settings(demo / "feeds.yaml").feeds
    assert (feed.name, feed.synthetic, feed.repair.past_hours) == ("stand_in", True, 4)
    load_policies(demo / "policies.yaml")
    assert stat.S_IMODE((demo / ".env").stat().st_mode) == 0o600, "keys come into it"


def test_its_features_are_made_and_checked(demo: Path, database: Database) -> None:
    (made,) = (path for path in demo.rglob("hourly_features.py"))
    module = runpy.run_path(str(made))
    insert(database, *range(100, 109), ago=9 * 60, every=3600)
    # It was received before as well, but of its first hour nobody knows.
    insert(database, 1, ago=12 * 60)
    with database.transaction() as cursor:
        register_feed(cursor, feed="stocks", provider="polygon", synthetic=True, candles=True)
        cursor.execute(
            "INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, calendar) "
            "VALUES ('stocks', 'AAPL', now() - INTERVAL '10 hours', 'always')"
        )
    refresh(database)
    assets = [value for value in module.values() if isinstance(value, dg.AssetsDefinition | dg.AssetChecksDefinition)]
    result = dg.materialize(
        [dg.AssetSpec("one_hour_candle").with_io_manager_key("ticks_candles"), *assets],
        resources={"ticks_candles": CandleFrames(database=DatabaseResource(url=database.url()))},
    )
    features = result.output_for_node("hourly_features")
    assert features["close"].tolist() == [float(price) for price in range(100, 109)]
    assert features["momentum"].iloc[-1] == pytest.approx(108 / 106.5 - 1)
    assert {found.check_name: found.passed for found in result.get_asset_check_evaluations()} == {
        "each_hour_is_there_once": True,
        "features_do_not_look_ahead": True,
    }


@pytest.mark.full
def test_its_code_location_loads_as_dagster_dev_loads_it(demo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=demo,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.full
def test_its_assets_import_no_pandas(demo: Path) -> None:
    """Each run of a feed loads them too."""
    code = "import sys, demo.defs.hourly_features, demo.defs.latest_closes; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_nothing_is_overwritten(ticks: Ticks, demo: Path) -> None:
    (demo / "feeds.yaml").write_text("mine", encoding="utf-8")
    (demo / "policies.yaml").unlink()
    again = ticks("init", "demo")
    assert again.returncode == 1
    assert "feeds.yaml" in again.stderr
    assert (demo / "feeds.yaml").read_text(encoding="utf-8") == "mine"
    assert not (demo / "policies.yaml").exists(), "all or nothing"


def test_a_live_feed_without_a_key(ticks: Ticks, tmp_path: Path) -> None:
    assert ticks("init", "coins", "--live", "coinbase").returncode == 0
    (feed,) = load_settings(tmp_path / "coins/feeds.yaml").feeds
    assert (feed.provider, feed.synthetic) == ("coinbase", False)
    feed.connector()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Market-Data", "my_market_data"),
        ("json", "project_json"),
        ("2026", "project_2026"),
        ("dagster", "project_dagster"),
    ],
)
def test_the_package_shadows_no_module(folder: str, name: str, tmp_path: Path) -> None:
    assert _package_name(tmp_path / folder) == name
