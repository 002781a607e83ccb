"""The asset that imports files of days: from an object store and from a folder, each row once, whatever was before."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest
import yaml

from ticks_platform import imported_files
from ticks_platform.defs.common.resources import DatabaseResource, IngestionResource
from ticks_platform.timescale.database import Database
from ticks_platform_tests.docs.pages import ROOT, Page
from ticks_platform_tests.support.importing import OPENING, text_of, trades
from ticks_platform_tests.support.ingestion import rows, unbalanced

DAY = "2024-04-05"


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of an object store in memory."""
    url = f"memory://{uuid.uuid4()}"
    system = fsspec.filesystem("memory")
    system.makedirs(url)
    yield url
    system.rm(url, recursive=True)


@pytest.fixture
def resources(database: Database, database_url: str, tmp_path: Path) -> dict[str, Any]:
    """Of a project with a live feed of stocks, and prices of somebody else."""
    feeds = tmp_path / "feeds.yaml"
    stocks = {"name": "stocks", "provider": "polygon", "api_key_env": "NO_KEY", "symbols": ["AAPL"]}
    feeds.write_text(yaml.safe_dump({"feeds": [stocks]}))
    ticks_database = DatabaseResource(url=database_url)
    return {
        "ticks_database": ticks_database,
        "ticks_ingestion": IngestionResource(database=ticks_database, feeds_file=str(feeds)),
    }


def put(url: str, data: bytes) -> None:
    system, path = fsspec.core.url_to_fs(url)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(path, data)


def materialize(
    asset: dg.AssetsDefinition, resources: dict[str, Any], day: str = DAY, *, fails: bool = False
) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [asset], partition_key=day, resources=resources, instance=instance, raise_on_error=not fails
        )
    assert done.success is not fails
    return done


def shown(done: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = done.get_asset_materialization_events()
    return {key: value.value for key, value in event.materialization.metadata.items()}


def test_a_day_of_an_object_store(database: Database, bucket: str, resources: dict[str, Any]) -> None:
    made = trades("AAPL", 60)
    made[3]["price"] = "a lot"
    for name, part in (("a", made[:30]), ("b", [*made[25:], *trades("ZZZ", 5)])):
        put(f"{bucket}/2024/04/{DAY}.{name}.csv.gz", gzip.compress(text_of(part).encode()))
    put(f"{bucket}/2024/04/2024-04-08.a.csv.gz", gzip.compress(text_of(made).encode()))
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'polygon', false)"
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES ('stocks', 'AAPL', %s, %s, 'disconnected')",
            (OPENING + timedelta(hours=1), OPENING + timedelta(hours=2)),
        )
    asset = imported_files(f"{bucket}/{{date:%Y/%m/%Y-%m-%d}}.?.csv.gz", feed="stocks", start="2024-01-01")
    found = shown(materialize(asset, resources))
    assert (found["files"], found["rows loaded"], found["rows known"], found["rows rejected"]) == (2, 59, 5, 1)
    assert (found["days refreshed"], found["gaps closed"]) == (1, 1)
    assert found["rejected"].startswith(f"- {DAY}.a.csv.gz, line 5: ")
    assert rows(database, "SELECT sum(tick_count)::int FROM one_day_candle") == [(59,)]
    names = [name for (name,) in rows(database, "SELECT file FROM ticks_platform.feed_import ORDER BY file")]
    assert [name.rpartition("/")[2] for name in names] == [f"{DAY}.a.csv.gz", f"{DAY}.b.csv.gz"]
    assert all(name.startswith("memory://") for name in names)
    assert unbalanced(database) == []
    again = shown(materialize(asset, resources))
    assert (again["files imported already"], again["rows loaded"], again["days refreshed"]) == (2, 0, 0)


def test_a_run_that_fails_in_a_file_goes_on_there(
    database: Database, bucket: str, resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticks_platform.ingestion.loader.MAX_BATCH_BYTES", 64 << 10)
    text = text_of(trades("AAPL", 3000)).encode()
    packed, url = gzip.compress(text, 1), f"{bucket}/{DAY}.csv.gz"
    put(url, packed[: len(packed) // 2])
    asset = imported_files(f"{bucket}/{{date}}.csv.gz", feed="stocks", start="2024-01-01")
    failed = materialize(asset, resources, fails=True)
    message = str(failed.failure_data_for_node("imported_files"))
    assert "cannot be unpacked" in message
    put(url, packed)
    found = shown(materialize(asset, resources))
    assert found["rows loaded"] + found["rows known"] == 3000
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(3000,)]
    assert unbalanced(database) == []


def test_the_pages_example(
    database: Database, bucket: str, resources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a store in memory in the place of S3: fsspec is the same."""
    (block,) = Page(ROOT / "docs/operations/import.md").blocks("python")
    text = block.text.replace("s3://flatfiles", bucket)
    assert text != block.text
    monkeypatch.setenv("FLAT_FILES_KEY", "key")
    monkeypatch.setenv("FLAT_FILES_SECRET", "secret")
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(text, block.page.name, "exec", dont_inherit=True), namespace)
    put(f"{bucket}/us_stocks_sip/trades_v1/2024/04/{DAY}.csv.gz", gzip.compress(text_of(trades("AAPL", 9)).encode()))
    with dg.DagsterInstance.ephemeral() as instance:
        asset = namespace["stock_trades"]
        done = dg.materialize([asset], partition_key=DAY, resources=resources, instance=instance)
    assert shown(done)["rows loaded"] == 9
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(9,)]


@pytest.mark.full
def test_csv_of_a_folder_has_everything_of_its_day(
    database: Database, tmp_path: Path, resources: dict[str, Any]
) -> None:
    (tmp_path / f"{DAY}.csv").write_text(f"ts,symbol,price,size\n{OPENING.timestamp():.0f},AAPL,1.5,3\n")
    options: dict[str, Any] = {"format": "csv", "columns": {"time": "ts"}, "times": "s", "complete": True}
    asset = imported_files(f"{tmp_path.as_uri()}/{{date}}.csv", feed="stocks", start="2024-01-01", **options)
    assert shown(materialize(asset, resources))["rows loaded"] == 1
    assert rows(database, "SELECT price FROM stocks_real_time") == [(1.5,)]
    assert rows(database, "SELECT file FROM ticks_platform.feed_import") == [(f"{tmp_path}/{DAY}.csv",)]


@pytest.mark.full
@pytest.mark.parametrize(("day", "fails"), [(DAY, True), ("2024-04-06", False), ("2024-03-29", False)])
def test_a_day_without_a_file(resources: dict[str, Any], bucket: str, day: str, *, fails: bool) -> None:
    """Of US stocks there is none on weekends and holidays: 2024-03-29 was Good Friday."""
    asset = imported_files(f"{bucket}/{{date}}.csv.gz", feed="stocks", start="2024-01-01")
    done = materialize(asset, resources, day, fails=fails)
    if fails:
        assert f"no file is at {bucket}/{day}.csv.gz" in str(done.failure_data_for_node("imported_files"))
    else:
        assert shown(done)["files"] == 0
    allowed = imported_files(
        f"{bucket}/{{date}}.csv.gz", feed="stocks", start="2024-01-01", may_be_missing=True, name="others"
    )
    assert shown(materialize(allowed, resources, day))["files"] == 0


@pytest.mark.full
def test_what_does_not_fit_fails_in_words(resources: dict[str, Any], bucket: str) -> None:
    put(f"{bucket}/{DAY}.csv", b"time,price\n1,2\n")
    asset = imported_files(f"{bucket}/{{date}}.csv", feed="stocks", format="csv", start="2024-01-01")
    assert "no column is symbol" in str(
        materialize(asset, resources, fails=True).failure_data_for_node("imported_files")
    )
    made_up = imported_files(f"{bucket}/{{date}}.csv", feed="stocks", start="2024-01-01", synthetic=True)
    assert "must not be beside them" in str(
        materialize(made_up, resources, fails=True).failure_data_for_node("imported_files")
    )
