"""`ticks export candles|ticks --to DIR`: files by day and symbol, whose rows are those that are stored."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pandas as pd
import pyarrow.dataset
import pytest

import ticks_platform
from ticks_platform.cli.main import ticks
from ticks_platform.reading.parquet import export
from ticks_platform.timescale.database import Database
from ticks_platform_tests.reading.test_candles import database as database
from ticks_platform_tests.reading.test_candles import store


def stored(folder: Path) -> pd.DataFrame:
    return pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive").to_table().to_pandas()


def test_candles_by_day_and_symbol(database: Database, tmp_path: Path) -> None:
    store(database, ("2026-01-05 14:30:00", "BTC/USD", 1.5, 1.0, None))
    rows = export("candles", tmp_path / "out", database=database)
    files = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.parquet"))
    assert files == [
        "day=2026-01-05/symbol=AAPL/part-0.parquet",
        "day=2026-01-05/symbol=BTC%2FUSD/part-0.parquet",
        "day=2026-01-05/symbol=MSFT/part-0.parquet",
        "day=2026-01-06/symbol=AAPL/part-0.parquet",
        "day=2026-01-06/symbol=MSFT/part-0.parquet",
    ]
    found = stored(tmp_path / "out").sort_values(["bucket", "symbol"])
    whole = ticks_platform.candles(database=database).reset_index()
    assert rows == len(found) == len(whole) == 10
    for name in whole.columns:
        assert found[name].fillna(-1).tolist() == whole[name].astype(found[name].dtype).fillna(-1).tolist(), name


def test_a_day_that_is_exported_again_is_replaced_and_others_stay(database: Database, tmp_path: Path) -> None:
    export("ticks", tmp_path, database=database)
    store(database, ("2026-01-06 15:00:00", "AAPL", 21.0, 1.0, None))
    rows = export("ticks", tmp_path, symbols="AAPL", start="2026-01-06", database=database)
    found = stored(tmp_path)
    assert rows == 2
    assert len(found) == 11
    assert sorted(found[(found["symbol"] == "AAPL") & (found["day"].astype(str) == "2026-01-06")]["price"]) == [20, 21]
    assert export("ticks", tmp_path, end="1999-01-01", database=database) == 0
    assert len(stored(tmp_path)) == 11


def test_the_command(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", database.url())
    run = click.testing.CliRunner().invoke
    done = run(ticks, ["export", "candles", "--to", str(tmp_path / "h"), "--every", "1h", "--symbol", "AAPL"])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'h'}: 3 candles" in done.output
    wrong = run(ticks, ["export", "candels", "--to", str(tmp_path)])
    assert wrong.exit_code == 2
    assert "takes candles or ticks" in wrong.output
    nothing = run(ticks, ["export", "candles"])
    assert nothing.exit_code == 2
    assert "ticks export candles|ticks --to DIR" in nothing.output
    unknown = run(ticks, ["export", "ticks", "--to", str(tmp_path), "--symbol", "NOPE"])
    assert unknown.exit_code != 0
    assert "no feed has 'NOPE'" in unknown.output
