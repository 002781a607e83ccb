"""Two of the starts, followed to the letter in a project that `ticks init` makes."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ticks_platform.timescale.database import Database
from ticks_platform_tests.docs.pages import ROOT, Page
from ticks_platform_tests.support.candles import insert, refresh
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.platform_database import PlatformDatabase
from ticks_platform_tests.support.ports import free_port

ENGINEER = Page(ROOT / "docs/start/engineer.md")
CONNECTOR = Page(ROOT / "docs/start/connector.md")

PATIENCE = 60.0

PORT = "8766"
"""Where the page's exchange listens."""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Whatever is in it at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def database(platform_database: PlatformDatabase, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database of the project, with some candles."""
    database = platform_database.reset()
    insert(database, *range(100, 110), symbol="AAPL", ago=11, every=60)
    refresh(database)
    monkeypatch.setenv("TICKS_DATABASE_URL", database.url())
    monkeypatch.delenv("TICKS_PROJECT_DIR", raising=False)
    return database


def run(command: str, folder: Path) -> str:
    """What a command of a page prints, in the environment that has this Python."""
    words = shlex.split(command)
    module = {"ticks": "ticks_platform.cli.main", "dagster": "dagster"}.get(words[0])
    arguments = ["-m", module, *words[1:]] if module else words[1:]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def project(page: Page, folder: Path) -> Path:
    """The project that the page has its reader make, with the files that it has him save there."""
    (line,) = (line for line in commands(page) if line.startswith("ticks init"))
    run(line, folder)
    made = folder / line.split()[2]
    for block in page.blocks("python"):
        assert block.file is not None
        (made / block.file).write_text(block.text, encoding="utf-8")
    return made


def commands(page: Page) -> list[str]:
    return [line for block in page.blocks("sh") for line in block.text.splitlines()]


@pytest.mark.full
def test_an_asset_of_ones_own_is_loaded_and_materialized(database: Database, tmp_path: Path) -> None:
    demo = project(ENGINEER, tmp_path)
    (loaded,) = yaml.safe_load((demo / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    module = f"-m {loaded['python_module']['module_name']}"
    materialize = [line for line in commands(ENGINEER) if line.startswith("dagster asset materialize")]
    for command in materialize:
        assert command.endswith(module), "the module that `ticks dev` loads"
        run(command, demo)
    assert [command.split()[4] for command in materialize] == ["widest_minutes", "ranges_of_a_week"]
    keys = run(f"dagster asset list {module}", demo).split()
    assert {"widest_minutes", "latest_closes", "hourly_features", "hourly_volatility", "proven_momentum"} <= set(keys)


@pytest.mark.full
def test_a_connector_of_ones_own_streams_and_survives_a_restart_of_its_exchange(
    database: Database, processes: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    trading = project(CONNECTOR, tmp_path)
    port = str(free_port())
    for name in ("acme.py", "exchange.py"):
        text = (trading / name).read_text(encoding="utf-8")
        assert PORT in text
        (trading / name).write_text(text.replace(PORT, port), encoding="utf-8")
    (feeds,) = CONNECTOR.blocks("yaml")
    (trading / "feeds.yaml").write_text(feeds.text, encoding="utf-8")

    run("python -m pytest -q", trading)
    (trading / "recorded.jsonl").write_text(
        '{"type":"trade","symbol":"BTC-USD","price":101.5,"size":2,"id":7,"time":1700000000123}\n', encoding="utf-8"
    )
    assert "loaded=1" in run(f"python store_recorded.py recorded.jsonl {database.url()}", trading)

    start = starter(trading, processes)
    exchange = start("exchange.py")
    feed = start("-m", "ticks_platform.cli.main", "ingest", "acme")
    wait_until(lambda: stored(database) > 5, "trades are stored")
    exchange.kill()
    exchange.wait()
    before = stored(database)
    start("exchange.py")
    wait_until(lambda: stored(database) > before + 15, "trades of the exchange that was started again are stored")
    feed.send_signal(signal.SIGINT)
    assert feed.wait(PATIENCE) == 0
    ledger = "SELECT sum(duplicate), sum(rejected) FROM ticks_platform.feed_ledger WHERE feed = 'acme'"
    assert rows(database, ledger) == [(0, 0)]


def starter(folder: Path, processes: list[subprocess.Popen[bytes]]) -> Callable[..., subprocess.Popen[bytes]]:
    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder)
        processes.append(process)
        return process

    return start


def stored(database: Database) -> int:
    return int(rows(database, "SELECT count(*) FROM stocks_real_time WHERE feed = 'acme'")[0][0])


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)
