"""Who may ask for the page, and what it is made of, over real sockets. The database is not needed."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.live.conftest import LivePage, until


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePage]:
    """The page, in front of a database that is away."""
    project = tmp_path_factory.mktemp("project")
    found = LivePage(Database("postgresql://ticks:a-secret-word@127.0.0.1:1/ticks"), project)
    yield found
    found.stop()


def test_other_sites_are_refused(page: LivePage) -> None:
    own = urlsplit(page.url).netloc
    port = own.partition(":")[2]
    for headers, path, status in (
        ({}, "/api/status", 200),
        ({"Host": f"localhost:{port}"}, "/api/status", 200),
        ({"Host": f"[::1]:{port}"}, "/api/status", 200),
        ({"Host": f"rebound.example:{port}"}, "/api/status", 421),
        ({"Host": f"rebound.example:{port}"}, "/", 421),
        ({"Host": f"127.0.0.1.rebound.example:{port}"}, "/", 421),
        ({"Host": "user@127.0.0.1"}, "/", 421),
        ({"Origin": f"http://{own}"}, "/api/status", 200),
        ({"Origin": "http://127.0.0.1:3000"}, "/api/status", 403),
        ({"Origin": "https://evil.example"}, "/api/stream", 403),
        ({"Origin": "null"}, "/api/status", 403),
        ({"Sec-Fetch-Site": "same-origin"}, "/api/status", 200),
        ({"Sec-Fetch-Site": "cross-site"}, "/api/status", 403),
        ({"Sec-Fetch-Site": "same-site"}, "/static/app.js", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "/", 200),
        # Dagster's pages show the picture, and those of other sites cannot.
        ({"Sec-Fetch-Site": "same-site", "Referer": "http://127.0.0.1:3000/"}, "/chart.svg", 200),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "http://localhost:3000/assets/x"}, "/chart.svg", 200),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "http://localhost:3000/"}, "/api/candles?symbol=A", 403),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://localhost.evil.example/"}, "/chart.svg", 403),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/http://localhost/"}, "/chart.svg", 403),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://localhost@evil.example/"}, "/chart.svg", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "/chart.svg", 403),
    ):
        answer = page.get(path, headers)
        assert answer.status_code == status, (headers, path)
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_the_picture_says_that_the_database_is_away(page: LivePage) -> None:
    answer = page.get("/chart.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "the database is " in answer.text
    assert "a-secret-word" not in answer.text
    assert page.get("/chart.svg", interval="2m").status_code == 400
    assert page.get("/api/status").headers["cross-origin-resource-policy"] == "same-origin"


def test_metrics_are_served_while_the_database_is_away(page: LivePage) -> None:
    answer = page.get("/metrics")
    assert answer.status_code == 200
    assert "\nticks_database_up 0.0\n" in answer.text
    assert "a-secret-word" not in answer.text
    assert page.get("/metrics", {"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_is_written(page: LivePage, method: str) -> None:
    host = urlsplit(page.url)
    assert host.hostname is not None
    with socket.create_connection((host.hostname, host.port or 0), timeout=10) as connection:
        connection.sendall(
            f"{method} /api/status HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 405 ")


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(page: LivePage) -> None:
    html = page.get("/").text
    assert "TradingView Lightweight Charts" in html
    assert re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", html) is None
    files = set(re.findall(r"/static/[\w.]+", html))
    static = Path(__file__).parents[2] / "ticks_platform" / "live" / "static"
    for name in static.glob("*.js"):
        source = name.read_text(encoding="utf-8")
        assert "innerHTML" not in source
        assert "eval(" not in source
        files |= {f"/static/{found}" for found in re.findall(r'from "\./([\w.]+)"', source)}
    for path in files:
        answer = page.get(path)
        assert answer.status_code == 200, path
        assert page.get(path, {"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_the_chart_library_is_the_pinned_one(page: LivePage) -> None:
    answer = page.get("/vendor/lightweight-charts.mjs")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "TradingView Lightweight Charts™ v5.2.1" in answer.content[:200].decode()


def test_a_database_that_is_away_is_said_without_its_password(page: LivePage) -> None:
    with page.stream(symbol="AAPL") as events:
        state = until(events, "state", lambda content: content["database"]["tone"] != "idle")
    assert state["database"]["words"] == "away"
    assert "127.0.0.1" in state["database"]["detail"]
    assert "a-secret-word" not in str(state)
    answer = page.get("/api/candles", symbol="AAPL")
    assert answer.status_code == 503
    assert answer.json()["error"].startswith("the database is away: cannot connect to")
