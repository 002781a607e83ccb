"""Blocks of code on the pages run: SQL and Python on a database that has data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.reading.candle_frames import CandleFrames
from ticks_platform.defs.reading.reader import ReaderResource
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import CANDLES
from ticks_platform.timescale.database import Database
from ticks_platform_tests.docs.pages import ROOT, Block, Page, documents
from ticks_platform_tests.support.candles import insert, refresh
from ticks_platform_tests.support.platform_database import PlatformDatabase

PAGES = [page for page in documents() if page.path.parent.name not in ("ticks_standin", "embedded_timescale")]
"""Those two have tests of their own."""


def each(page: Page) -> str:
    return page.name


@pytest.fixture(scope="module")
def with_data(platform_database: PlatformDatabase) -> Database:
    """The platform with an hour of ticks and their candles, and with all functions. No page changes what it has."""
    database = platform_database.reset()
    insert(database, *range(100, 160), symbol="AAPL", ago=61, every=60)
    insert(database, 1.5, 2.5, symbol="MSFT", ago=5)
    with database.transaction() as cursor:
        sql_files.apply(cursor, *sql_files.CANDLE_REASONS, *sql_files.RETENTION, *sql_files.NOTES)
    refresh(database)
    return database


@pytest.mark.parametrize("page", [page for page in PAGES if page.blocks("sql")], ids=each)
def test_sql(page: Page, with_data: Database) -> None:
    with with_data.transaction() as cursor:
        for block in page.blocks("sql"):
            if block.runs:
                cursor.execute(block.text)
        # A role that a page creates is the server's.
        cursor.connection.rollback()


@pytest.mark.parametrize("page", [page for page in PAGES if page.blocks("python")], ids=each)
def test_python(page: Page, with_data: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_URL", with_data.url())
    monkeypatch.setenv("TICKS_DATABASE_URL", with_data.url())
    monkeypatch.setenv("TICKS_PROJECT_DIR", str(ROOT))
    monkeypatch.syspath_prepend(str(tmp_path))
    # It comes with what these tests need, and not with the platform: a reader has psycopg2 only.
    monkeypatch.setitem(sys.modules, "psycopg", None)
    blocks = [block for block in page.blocks("python") if block.runs]
    for block in blocks:
        if block.file is not None:
            file = tmp_path / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
    if any(block.file is not None and block.file.startswith("test_") for block in blocks):
        _run_tests(tmp_path)
    else:
        namespace: dict[str, Any] = {"__name__": "page"}
        for block in blocks:
            _run(block, namespace)
        _materialize(namespace, with_data)


def _run(block: Block, namespace: dict[str, Any]) -> None:
    # What a reader watches for a minute shows in a moment whether it works.
    text = block.text.replace("wait(60)", "wait(0.5)")
    # Dagster wants annotations as they are, which this module would have as text.
    exec(compile(text, block.page.name, "exec", dont_inherit=True), namespace)


def _materialize(namespace: dict[str, Any], database: Database) -> None:
    source = DatabaseResource(url=database.url())
    resources = {
        "ticks_database": source,
        "ticks_reader": ReaderResource(database=source),
        "ticks_candles": CandleFrames(database=source),
    }
    candles = [dg.AssetSpec(candle.name).with_io_manager_key("ticks_candles") for candle in CANDLES]
    for asset in (value for value in namespace.values() if isinstance(value, dg.AssetsDefinition)):
        partition = asset.partitions_def.get_last_partition_key() if asset.partitions_def else None
        made = dg.materialize([asset, *candles], selection=[asset], partition_key=partition, resources=resources)
        assert made.success


def _run_tests(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")]
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
