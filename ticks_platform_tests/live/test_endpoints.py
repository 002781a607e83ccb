"""The endpoints over real sockets, with a real database: what they answer, and what they refuse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg2.errors
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ticks_platform.live import feed_words, hub
from ticks_platform.live.queries import Reader
from ticks_platform.monitoring import exporter
from ticks_platform.timescale.database import Database, SessionConnection
from ticks_platform_tests.live.conftest import LivePage, until

pytestmark = pytest.mark.full


def test_candles_of_each_width_with_their_gaps(page: LivePage) -> None:
    for interval, step in (("1m", 60), ("1h", 3600), ("1d", 86400)):
        answer = page.get("/api/candles", symbol="AAPL", interval=interval).json()
        assert (answer["symbol"], answer["interval"]) == ("AAPL", interval)
        times = [candle[0] for candle in answer["candles"]]
        assert times == sorted(set(times))
        assert all(at % step == 0 for at in times)
        assert sum(candle[6] for candle in answer["candles"]) == 20
        assert answer["candles"][0][1] == 100.0
        assert answer["candles"][-1][4] == 119.0
        if interval == "1m":
            # This feed sends no sizes: a minute's volume is the growth of the day's.
            assert [candle[5] for candle in answer["candles"][1:]][1:-1] == [20.0] * (len(times) - 3)
            assert [(gap["cause"], gap["state"]) for gap in answer["gaps"]] == [
                ("disconnected", "open"),
                ("killed", "repaired"),
            ]


def test_a_picture_for_the_pages_of_assets(page: LivePage) -> None:
    for interval in ("1m", "1h", "1d"):
        answer = page.get("/chart.svg", interval=interval)
        assert answer.headers["content-type"] == "image/svg+xml"
        picture = ElementTree.fromstring(answer.content)
        names = [found.text for found in picture.iter("{http://www.w3.org/2000/svg}title")]
        assert names[0] == "AAPL"
        assert "119.00" in answer.text, "the newest price"


def test_metrics_of_all_feeds_are_what_prometheus_reads(page: LivePage) -> None:
    answer = page.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(exporter.MEDIA_TYPE)
    found = {
        (sample.name, sample.labels.get("feed")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["ticks_database_up", None] == 1
    assert found["ticks_gaps_open", "tape"] == 1
    assert found["ticks_feed_enabled", "tape"] == 1


def test_older_candles(page: LivePage) -> None:
    all_of_them = page.get("/api/candles", symbol="AAPL").json()["candles"]
    older = page.get("/api/candles", symbol="AAPL", before=all_of_them[3][0]).json()["candles"]
    assert [candle[:5] for candle in older] == [candle[:5] for candle in all_of_them[:3]]


def test_a_stream_brings_all_and_then_what_changes(page: LivePage, filled: Database) -> None:
    with page.stream(symbol="AAPL", interval="1m") as events:
        assert until(events, "hello")["version"]
        series = until(events, "series")
        assert len(series["candles"]) >= 10
        assert len(series["gaps"]) == 2
        overview = until(events, "overview")
        assert overview["symbols"][0][:2] == ["AAPL", "Apple"]
        assert overview["symbols"][0][4] == 119.0
        assert overview["open_gaps"]["count"] == 1
        assert overview["rejected"][0]["raw"] == "<script>alert(1)</script>"
        state = until(events, "state", lambda content: content["database"]["tone"] == "good")
        tape, other = state["feeds"]
        assert (tape["feed"], tape["words"], tape["events"], tape["rejected"]) == ("tape", "streaming", 9, 1)
        assert (other["feed"], other["words"]) == ("other", "not started yet")
        with filled.transaction() as cursor:
            cursor.execute("INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'AAPL', 500)")
        changed = until(events, "candles", lambda content: content["candles"][-1][4] == 500.0)
        assert (changed["symbol"], changed["interval"]) == ("AAPL", "1m")


def test_a_symbol_that_does_not_exist_shows_another(page: LivePage) -> None:
    with page.stream(symbol="APPL", interval="1h") as events:
        assert until(events, "unknown") == {"symbol": "APPL", "nearest": ["AAPL"]}
        assert until(events, "series")["symbol"] == "AAPL"


def test_explain(page: LivePage) -> None:
    candles = page.get("/api/candles", symbol="AAPL", interval="1m").json()["candles"]
    answer = page.get("/api/explain", symbol="AAPL", interval="1m", at=candles[2][0] + 17).json()
    assert answer["answer"]["answer"] == "candle"
    assert answer["text"].startswith("AAPL, the minute from ")
    assert answer["command"].startswith("ticks explain AAPL ")


def test_symbols_are_found_by_symbol_and_name(page: LivePage) -> None:
    assert page.get("/api/symbols", search="app").json() == {"symbols": [{"symbol": "AAPL", "name": "Apple"}]}
    assert [each["symbol"] for each in page.get("/api/symbols", search="b").json()["symbols"]] == ["BTC/USD"]
    assert page.get("/api/symbols", search="no such").json() == {"symbols": []}


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("/api/candles", {"symbol": "NOPE"}, 404, "no feed streams NOPE"),
        ("/api/candles", {"symbol": "aapl"}, 404, "did you mean AAPL"),
        ("/api/candles", {"symbol": "AAPL", "interval": "5m"}, 400, "1m, 1h, 1d"),
        ("/api/candles", {"symbol": "AAPL", "interval": "one_minute_candle; DROP TABLE company"}, 400, "1m, 1h, 1d"),
        ("/api/candles", {"symbol": "' OR true --"}, 404, "no feed streams ' OR true --"),
        ("/api/candles", {}, 400, "symbol is missing"),
        ("/api/candles", {"symbol": "AAPL", "before": "-1"}, 400, "whole seconds"),
        ("/api/candles", {"symbol": "AAPL", "before": "9" * 30}, 400, "whole seconds"),
        ("/api/explain", {"symbol": "AAPL"}, 400, "at has to be"),
        ("/api/stream", {"interval": "2h"}, 400, "1m, 1h, 1d"),
        ("/api/nothing", {}, 404, "Not Found"),
        ("/static/..%2Fapp.py", {}, 404, ""),
        ("/static/nothing.js", {}, 404, "no file"),
    ],
)
def test_what_is_wrong_is_said(page: LivePage, path: str, query: dict[str, str], status: int, words: str) -> None:
    answer = page.get(path, **query)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_the_session_only_reads(filled: Database) -> None:
    reader = Reader(filled)
    assert reader.symbols()
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), reader.connection.cursor() as cursor:
        cursor.execute("DELETE FROM company")
    reader.close()


class Pooled(Database):
    """A database whose sessions are shared, as behind PgBouncer."""

    def connect(self, application_name: str = "ticks_platform") -> SessionConnection:
        """A connection that says so."""
        connection = super().connect(application_name)
        connection.is_pooled = True
        return connection


def test_a_shared_session_is_left_as_it_was(filled: Database) -> None:
    reader = Reader(Pooled(filled.url()))
    assert reader.symbols()
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), reader._cursor() as cursor:
        cursor.execute("DELETE FROM company")
    assert reader.symbols(), "an error does not keep it from asking"
    reader.connection.readonly = False
    with reader.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('default_transaction_read_only'), current_setting('statement_timeout')")
        assert cursor.fetchone() == ("off", "0"), "others use the session too"
    reader.close()


def test_nobody_looks_nobody_asks(page: LivePage) -> None:
    with page.stream(symbol="AAPL") as events:
        until(events, "series")
    nobody_looks(page)
    before = page.hub.reader.queries
    time.sleep(2.5)
    assert page.hub.reader.queries - before <= 1


def nobody_looks(page: LivePage) -> None:
    """Wait until the last viewer is known to have left."""
    deadline = time.monotonic() + 60
    while page.get("/api/status").json()["viewers"]:
        assert time.monotonic() < deadline, "a viewer that has left is still counted"


def test_the_first_viewer_after_a_while_is_shown_nothing_old(
    page: LivePage, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "FRESH_SECONDS", 0.0)
    with page.stream(symbol="AAPL", interval="1m") as events:
        until(events, "series")
        assert until(events, "overview")["open_gaps"]["count"] == 1
    nobody_looks(page)
    with filled.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_gap SET state = 'repaired';"
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now(), 'AAPL', 700)"
        )
    first: dict[str, Any] = {}
    with page.stream(symbol="AAPL", interval="1m") as events:
        while not {"state", "overview", "series"} <= first.keys():
            name, content = next(events)
            first.setdefault(name, content)
    assert first["state"]["database"]["tone"] == "idle", "marked, until there is an answer"
    assert first["overview"]["open_gaps"]["count"] == 0
    assert first["series"]["candles"][-1][4] == 700.0
    assert {gap["state"] for gap in first["series"]["gaps"]} == {"repaired"}


def test_a_gap_that_is_closed_is_gone_with_the_next_poll_and_connections_are_counted(
    page: LivePage, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "OVERVIEW_SECONDS", 3600.0)
    with page.stream(symbol="AAPL", interval="1m") as events:
        assert until(events, "overview")["open_gaps"]["count"] == 1
        with filled.transaction() as cursor:
            cursor.execute(
                "UPDATE ticks_platform.feed_gap SET state = 'repaired';"
                "INSERT INTO ticks_platform.feed_session VALUES ('tape', 1, 0, now(), 'connecting', '')"
            )
        found = until(events, "overview")
        assert found["open_gaps"] == {"count": 0, "newest": []}
        assert found["symbols"][0][:2] == ["AAPL", "Apple"], "what was not asked for stays"
        state = until(events, "state", lambda content: content["feeds"][0]["words"] == "connecting")
        assert state["feeds"][0]["connects"] == 1


def test_settings_that_cannot_be_read_are_said_while_that_lasts(
    page: LivePage, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_words, "HALF_WRITTEN", 0.5)
    file = project / "feeds.yaml"
    right = file.read_text(encoding="utf-8")
    with page.stream(symbol="AAPL", interval="1m") as events:
        until(events, "state", lambda content: content["database"]["tone"] == "good" and content["settings"] is None)
        file.write_text(right.replace("symbols:", "simbols:"), encoding="utf-8")
        state = until(events, "state", lambda content: content["settings"])
        assert "simbols" in state["settings"]
        assert [feed["feed"] for feed in state["feeds"]] == ["tape", "other"], "as they were"
        file.write_text(right, encoding="utf-8")
        until(events, "state", lambda content: content["settings"] is None)


def test_a_database_without_tables(empty_database: Database, project: Path) -> None:
    page = LivePage(empty_database, project)
    try:
        with page.stream() as events:
            state = until(events, "state", lambda content: content["database"]["tone"] != "idle")
            assert state["database"]["words"] == "no tables yet"
            assert "ticks dev" in state["database"]["detail"]
        answer = page.get("/api/candles", symbol="AAPL")
        assert answer.status_code == 503
        assert "no tables yet" in answer.json()["error"]
    finally:
        page.stop()
