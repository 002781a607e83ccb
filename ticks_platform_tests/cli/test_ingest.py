"""`ticks ingest`: a feed without Dagster, its exit codes, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ticks_platform import masking
from ticks_platform.cli import ingest
from ticks_platform.timescale.database import Database
from ticks_platform_tests.cli.conftest import Ticks
from ticks_platform_tests.support.feeds import PeerServer
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.ports import free_port
from ticks_platform_tests.support.telltale import KEY, Telltale, dump, found_in
from ticks_standin import StandIn

PATIENCE = 30.0

ADDED = "SELECT count(*) > 0 FROM stocks_real_time WHERE symbol = 'AMZN'"


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def start(demo: Path, empty_database: Database) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `ticks ingest stand_in` in the project."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ticks_platform.cli.main", "ingest", "stand_in", *options],
            cwd=demo,
            env=dict(os.environ),
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def loaded(database: Database) -> int:
    """Rows of ticks; 0 where there is no table yet."""
    if rows(database, "SELECT to_regclass('public.stocks_real_time') IS NULL") == [(True,)]:
        return 0
    return int(rows(database, "SELECT count(*) FROM stocks_real_time")[0][0])


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_streams_until_a_signal(
    start: Callable[..., subprocess.Popen[str]], empty_database: Database, number: signal.Signals
) -> None:
    process = start()
    wait_until(lambda: loaded(empty_database) > 20, "ticks are stored")
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == ingest.STOPPED, said
    assert "events loaded" in said
    (events, sums), *_ = rows(
        empty_database,
        "SELECT sum(events), sum(loaded + replaced + duplicate + rejected + control) FROM ticks_platform.feed_ledger",
    )
    assert events == sums > 0


@pytest.mark.full
def test_a_feed_that_is_ingested_is_left_alone_unless_it_is_to_be_taken_over(
    start: Callable[..., subprocess.Popen[str]], ticks: Ticks, demo: Path, empty_database: Database
) -> None:
    first = start()
    wait_until(lambda: loaded(empty_database) > 0, "ticks are stored")
    second = ticks("ingest", "stand_in", cwd=demo)
    assert second.returncode == ingest.TAKEN_OVER
    assert "--take-over" in second.stderr
    third = start("--take-over")
    _, said = first.communicate(timeout=PATIENCE)
    assert first.returncode == ingest.TAKEN_OVER, said
    third.send_signal(signal.SIGTERM)
    third.communicate(timeout=PATIENCE)
    assert third.returncode == ingest.STOPPED


def test_a_wrong_setting_ends_it_with_words(ticks: Ticks, demo: Path, empty_database: Database) -> None:
    feeds = "feeds: {stocks: {provider: twelve_data, api_key_env: NO_SUCH_KEY, symbols: [AAPL]}}"
    (demo / "feeds.yaml").write_text(feeds, encoding="utf-8")
    done = ticks("ingest", "stocks", cwd=demo)
    assert done.returncode == ingest.ACTION_REQUIRED
    assert "NO_SUCH_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    unknown = ticks("ingest", "stokcs", cwd=demo)
    assert unknown.returncode == 1
    assert "stocks" in unknown.stderr


def test_changes_of_feeds_yaml_are_adopted_or_told(
    start: Callable[..., subprocess.Popen[str]], demo: Path, empty_database: Database
) -> None:
    file = demo / "feeds.yaml"
    right = file.read_text(encoding="utf-8")
    process = start("--quiet")
    assert process.stderr is not None
    lines: list[str] = []
    follower = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    follower.start()
    wait_until(lambda: loaded(empty_database), "ticks are stored")
    for wrong, words in (
        (right.replace("symbols:", "simbols:"), "simbols|continues with the settings that it has"),
        (right, "feeds.yaml can be read again"),
        (right.replace("AAPL: Apple", "AMZN: Amazon"), "feed stand_in: its symbols have changed"),
        (right.replace("repair:", "stale_after_seconds: 77\n    repair:"), "start this process again"),
        (right.replace("stand_in:\n    provider", "other:\n    provider"), "it is no longer in feeds.yaml"),
    ):
        file.write_text(wrong, encoding="utf-8")
        wait_until(lambda words=words: all(word in "".join(lines) for word in words.split("|")), words)
        if "AMZN" in wrong:
            wait_until(lambda: rows(empty_database, ADDED) == [(True,)], "ticks of the symbol that was added")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == ingest.STOPPED
    follower.join(PATIENCE)
    assert sum("simbols" in line for line in lines) == 1


@pytest.mark.full
def test_a_key_that_is_repeated_is_in_nothing_that_is_said_or_kept(
    ticks: Ticks,
    demo: Path,
    start: Callable[..., subprocess.Popen[str]],
    empty_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telltale = Telltale()
    monkeypatch.setenv("TICKS_TEST_KEY", KEY)
    port = free_port()
    with PeerServer(telltale) as server:
        (demo / "feeds.yaml").write_text(
            f"feeds: {{stand_in: {{provider: twelve_data, endpoint: '{server.url}', "
            f"api_key_env: TICKS_TEST_KEY, metrics_port: {port}, symbols: [AAPL, MSFT]}}}}",
            encoding="utf-8",
        )
        process = start()
        kept = "SELECT count(*) >= 4 FROM ticks_platform.rejected_event"
        wait_until(lambda: exists(empty_database), "the tables")
        wait_until(lambda: rows(empty_database, kept) == [(True,)], "rejected events")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        shown = {" ".join(command): ticks(*command, cwd=demo) for command in (("status",), ("doctor",))}
        telltale.streaming.set()
        wait_until(lambda: telltale.connections >= 3, "a refusal")
        refused = "SELECT count(*) > 0 FROM ticks_platform.feed_session WHERE detail LIKE '%refused the API key%'"
        wait_until(lambda: rows(empty_database, refused) == [(True,)], "what it says")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    places = {name: done.stdout + done.stderr for name, done in shown.items()}
    places |= {"output": said, "metrics": metrics, "tables": dump(empty_database)}
    assert found_in(places) == []
    for place in ("output", "tables"):
        assert masking.MASK in places[place], f"the provider's words did not reach {place}"
    assert "stand_in" in places["status"]


def exists(database: Database) -> bool:
    return rows(database, "SELECT to_regclass('ticks_platform.rejected_event') IS NOT NULL") == [(True,)]


def test_a_group_is_one_process(
    demo: Path, empty_database: Database, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another `ticks ingest` of it ends, since its feeds are ingested."""
    monkeypatch.setenv("TICKS_TEST_KEY", "demo")
    feeds = "".join(
        f"  {name}: {{provider: twelve_data, endpoint: '{stand_in.url(key=None)}', api_key_env: TICKS_TEST_KEY, "
        f"synthetic_endpoint: true, group: small, symbols: [{symbol}]}}\n"
        for name, symbol in (("apples", "AAPL"), ("chips", "NVDA"))
    )
    (demo / "feeds.yaml").write_text("feeds:\n" + feeds)
    command = [sys.executable, "-m", "ticks_platform.cli.main", "ingest", "small"]
    with subprocess.Popen(command, cwd=demo, stderr=subprocess.PIPE, text=True) as process:
        try:
            stand_in.wait_until_subscribed("AAPL", "NVDA", timeout_s=60)
            stand_in.send_exactly(100)
            wait_until(lambda: loaded(empty_database) == 100, "ticks are stored")
            owners = rows(empty_database, "SELECT DISTINCT owner FROM ticks_platform.feed_lease")
            assert len(owners) == 1
            status = subprocess.run(
                [*command[:-2], "status"], cwd=demo, capture_output=True, text=True, timeout=60, check=True
            )
            assert "apples (group small): streaming (run ticks ingest" in status.stdout
            second = subprocess.run(command, cwd=demo, capture_output=True, text=True, timeout=60)
            assert second.returncode == ingest.TAKEN_OVER, second.stderr
            assert "no feed of group small can stream now" in second.stderr
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE)
            assert process.returncode == ingest.STOPPED, said
        finally:
            process.kill()
    assert rows(empty_database, "SELECT count(*) FROM ticks_platform.feed_lease WHERE released_at IS NULL") == [(0,)]


def test_it_imports_no_dagster() -> None:
    script = (
        "import sys; import ticks_platform.cli.ingest, ticks_platform.cli.main, ticks_platform.cli.status; "
        "sys.exit([name for name in sys.modules if name.partition('.')[0].startswith('dagster')] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
