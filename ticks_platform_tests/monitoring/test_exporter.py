"""One endpoint for all feeds: also for those that are down, and while the database is away."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from ticks_platform.feeds.settings import load_settings
from ticks_platform.ingestion import metrics_export, switch
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.monitoring import exporter, troubles
from ticks_platform.monitoring.database import Watcher
from ticks_platform.timescale.database import Database
from ticks_platform_tests.deployment.test_prometheus import documented
from ticks_platform_tests.support.feeds import wait_until
from ticks_platform_tests.support.ingestion import price
from ticks_platform_tests.support.promtool import promtool
from ticks_standin import StandIn

FEEDS = """
feeds:
  stocks: {provider: twelve_data, endpoint: stand-in, symbols: [AAPL]}
  crypto: {provider: twelve_data, endpoint: stand-in, symbols: [BTC/USD]}
"""

AWAY = "postgresql://someone:s3cr3t-word@127.0.0.1:1/ticks"

Scrape = Callable[[Database], dict[str, float]]


@pytest.fixture
def feeds_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(metrics_export, "WRITE_INTERVAL", 0.1)
    (tmp_path / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    return tmp_path / "feeds.yaml"


@pytest.fixture
def text(feeds_file: Path) -> Callable[[Database], bytes]:
    return lambda database: exporter.text(exporter.AllFeeds(database, feeds_file))


@pytest.fixture
def scrape(text: Callable[[Database], bytes]) -> Scrape:
    def scrape(database: Database) -> dict[str, float]:
        lines = (line for line in text(database).decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    return scrape


@contextmanager
def ingesting(feeds_file: Path, stand_in: StandIn, database: Database) -> Iterator[Ingestion]:
    """The feed `stocks`, of which three ticks are stored and two events are rejected."""
    feed = load_settings(feeds_file).feed("stocks")
    connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
    with Ingestion(feed=feed, connector=connector, database=database, owner="a run") as ingestion:
        stand_in.wait_until_subscribed("AAPL", timeout_s=60)
        for number in range(3):
            stand_in.inject(price("AAPL", price=number + 1))
        for number in (1234, 5678):
            stand_in.inject(price("AAPL", timestamp=f"never {number}"))
        wait_until(lambda: ingestion.metrics.loaded == 3 and ingestion.metrics.rejected == 2, "all are counted", 20)
        written = metrics_export.file_of("stocks")
        wait_until(lambda: b'ticks_rejected_total{feed="stocks"} 2.0' in written.read_bytes(), "they are written", 20)
        yield ingestion


@pytest.mark.full
def test_a_feed_that_streams_and_then_is_down(
    feeds_file: Path, scrape: Scrape, stand_in: StandIn, database: Database
) -> None:
    with ingesting(feeds_file, stand_in, database):
        found = scrape(database)
    assert (found['ticks_feed_up{feed="stocks"}'], found['ticks_feed_up{feed="crypto"}']) == (1, 0)
    assert found['ticks_connected{feed="stocks"}'] == 1
    assert found['ticks_loaded_total{feed="stocks"}'] == 3
    ((reason, count),) = [(name, found[name]) for name in found if name.startswith("ticks_rejected_by_reason_total")]
    assert count == 2, "the numbers in it do not make two reasons of one"
    assert "1234" not in reason
    long_ago = metrics_export.file_of("stocks")
    os.utime(long_ago, (1_700_000_000, 1_700_000_000))
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_lease SET heartbeat_at = heartbeat_at - INTERVAL '1 hour'")
    down = scrape(database)
    assert (down['ticks_feed_up{feed="stocks"}'], down['ticks_connected{feed="stocks"}']) == (0, 0)
    assert down['ticks_loaded_total{feed="stocks"}'] == 3, "counts stay"
    assert down['ticks_last_event_timestamp_seconds{feed="stocks"}'] > 1_700_000_000
    assert down['ticks_feed_enabled{feed="stocks"}'] == 1
    assert 'ticks_gaps_open{feed="stocks"}' in down


def test_feeds_are_up_or_down_where_settings_cannot_be_read_at_first(
    feeds_file: Path, scrape: Scrape, database: Database
) -> None:
    feeds_file.write_text("feeds: [", encoding="utf-8")
    with database.transaction() as cursor:
        for feed in ("stocks", "crypto"):
            switch.set_enabled(cursor, feed=feed, provider="twelve_data", synthetic=True, enabled=feed == "stocks")
    assert scrape(database)['ticks_feed_up{feed="stocks"}'] == 0
    written = metrics_export.file_of("crypto")
    written.parent.mkdir(parents=True)
    written.touch()
    away = scrape(Database(AWAY))
    assert away['ticks_feed_up{feed="crypto"}'] == 1
    assert away["ticks_database_up"] == 0


@pytest.mark.full
def test_promtool_finds_nothing_wrong_and_each_metric_is_documented(
    feeds_file: Path, text: Callable[[Database], bytes], stand_in: StandIn, database: Database
) -> None:
    with ingesting(feeds_file, stand_in, database):
        found = text(database)
    promtool("check", "metrics", given=found)
    names = set(re.findall(r"^# HELP (\w+)", found.decode(), re.MULTILINE))
    assert names <= documented()
    # The others are of faults, or of jobs that the embedded database does not have.
    assert len(names) >= len(documented()) - 3


def test_it_serves_while_the_database_is_away(feeds_file: Path, scrape: Scrape) -> None:
    collector = exporter.AllFeeds(Database(AWAY), feeds_file)
    found = scrape(Database(AWAY))
    assert found["ticks_database_up"] == 0
    assert found['ticks_feed_up{feed="stocks"}'] == 0
    assert any(name.startswith("ticks_build_info{") for name in found)
    assert "s3cr3t-word" not in exporter.text(collector).decode()


def test_it_serves_over_http(feeds_file: Path, free_tcp_port: int) -> None:
    stop = exporter.serve(exporter.AllFeeds(Database(AWAY), feeds_file), port=free_tcp_port, host="127.0.0.1")
    try:
        answer = requests.get(f"http://127.0.0.1:{free_tcp_port}/metrics", timeout=20)
    finally:
        stop()
    assert "ticks_database_up 0.0" in answer.text


@pytest.mark.parametrize("damage", [b"\0" * 100, b"\xff\xfe", b'ticks_loaded_total{feed="stocks" 3'])
def test_a_damaged_file_of_one_feed_hides_no_other(feeds_file: Path, scrape: Scrape, damage: bytes) -> None:
    """As after a loss of power: a file's name is there before its content."""
    for feed, content in (
        ("stocks", damage),
        ("crypto", b'# TYPE ticks_loaded counter\nticks_loaded_total{feed="crypto"} 7\n'),
    ):
        file = metrics_export.file_of(feed)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    found = scrape(Database(AWAY))
    assert found['ticks_loaded_total{feed="crypto"}'] == 7
    assert found['ticks_feed_up{feed="crypto"}'] == 1


def test_prometheus_gets_its_metrics_in_time_while_the_database_hangs(feeds_file: Path, scrape: Scrape) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = scrape(Database(f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/ticks"))
    assert time.monotonic() - began < 10, "it gives up on all metrics then"
    assert found["ticks_database_up"] == 0


def test_a_database_of_another_release_is_told_and_leaves_the_rest(
    feeds_file: Path, scrape: Scrape, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Any error of the database, not only its absence: else no alert would ever come again, and no metric."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE ticks_platform.feed_channel RENAME COLUMN state TO state_of_another_release")
    try:
        found = scrape(database)
        seen = troubles.look(Watcher(), database, load_settings(feeds_file).feeds)
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE ticks_platform.feed_channel RENAME COLUMN state_of_another_release TO state")
    assert found["ticks_database_up"] == 0
    (trouble,) = [each for each in seen.troubles if each.key == troubles.DATABASE]
    (logged,) = [record.message for record in caplog.records if record.name == exporter.__name__]
    for words in (trouble.text, logged):
        assert 'column "state" does not exist' in words
        assert "another release" in words
        assert "bring_up" in words
