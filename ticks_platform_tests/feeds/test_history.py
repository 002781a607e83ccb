"""APIs for past data: requests, pages and errors, and the HTTP client on real sockets."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Bar, Rejected, Tick
from ticks_platform.feeds.history import (
    RESULTS_PER_FRAME,
    History,
    HistoryAnswer,
    HistoryRequest,
    KeyRefusedError,
    NotEntitledError,
    NotYetAvailableError,
    Page,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    decode,
)
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory

MINUTE = 60_000_000_000
NOON = 1_773_230_400 * 1_000_000_000
"""2026-03-11 12:00 UTC, a Wednesday."""
SPAN = Span("AAPL", "AAPL", NOON, NOON + 10 * MINUTE)


def polygon(url: str | None = None, **options: Any) -> History:
    history = PolygonConnector(url=url, api_key="s3cret", options=options).history()
    assert history is not None
    return history


def twelve_data() -> TwelveDataHistory:
    return TwelveDataConnector(url=None, api_key="s3cret").history()


def answer(body: Any, status: int = 200, **headers: str) -> HistoryAnswer:
    return HistoryAnswer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def events(history: History, page: Page) -> list[Any]:
    return [event for frame in page.frames for event in decode(history, frame)]


TRADES = [
    {"conditions": [12], "exchange": 11, "id": "71", "price": 100.5, "size": 3, "sip_timestamp": NOON + 1_999_999},
    {
        "exchange": 4,
        "id": "72",
        "price": 100.25,
        "size": 0,
        "decimal_size": "0.5",
        "sip_timestamp": NOON,
        "trf_id": 201,
    },
    {"exchange": 1, "price": 100.0, "size": 1.0, "sip_timestamp": NOON},
    {"conditions": [14, 37, 41], "exchange": 11, "id": "73", "price": 101.0, "size": 3, "sip_timestamp": NOON},
    {"conditions": [15], "exchange": 12, "id": "74", "price": 102.0, "size": 9, "sip_timestamp": NOON, "tape": 3},
]


def test_a_trade_is_the_same_by_rest_and_by_websocket() -> None:
    """Otherwise trades that are already stored would not be recognised."""
    history = polygon()
    page = history.page(SPAN, history.first(SPAN), answer({"status": "OK", "results": TRADES}))
    milliseconds = NOON // 1_000_000
    frame = [
        {"ev": "T", "sym": "AAPL", "x": 11, "i": "71", "p": 100.5, "s": 3, "t": milliseconds + 1, "c": [12]},
        {"ev": "T", "sym": "AAPL", "x": 4, "i": "72", "p": 100.25, "s": 0, "ds": "0.5", "t": milliseconds, "trfi": 201},
        {"ev": "T", "sym": "AAPL", "x": 1, "p": 100.0, "s": 1.0, "t": milliseconds},
        {"ev": "T", "sym": "AAPL", "x": 11, "i": "73", "p": 101.0, "s": 3, "t": milliseconds, "c": [14, 37, 41]},
        {"ev": "T", "sym": "AAPL", "x": 12, "i": "74", "p": 102.0, "s": 9, "t": milliseconds, "c": [15], "z": 3},
    ]
    assert events(history, page) == polygon_events.decode(json.dumps(frame).encode())
    assert page.cursor is None


def test_bad_results_are_rejected_one_by_one() -> None:
    history = polygon()
    odd: list[Any] = [{"price": "1e999", "sip_timestamp": 1}, {"id": "1"}, "x", {"price": 1, "sip_timestamp": "soon"}]
    page = history.page(SPAN, "c", answer(json.dumps({"results": [*odd, TRADES[0]]}).encode()))
    found = events(history, page)
    assert [type(event) for event in found] == [Rejected] * 4 + [Tick]
    assert decode(history, b"nonsense")[0].raw == b"nonsense"  # type: ignore[union-attr]


def test_frames_are_small() -> None:
    history = polygon()
    page = history.page(SPAN, "c", answer({"results": [TRADES[0]] * (RESULTS_PER_FRAME * 2 + 1)}))
    assert [len(decode(history, frame)) for frame in page.frames] == [RESULTS_PER_FRAME] * 2 + [1]
    assert page.results == RESULTS_PER_FRAME * 2 + 1


@pytest.mark.parametrize(
    ("options", "asked", "path"),
    [
        ({}, "AAPL", "/v3/trades/AAPL?"),
        ({"market": "options"}, "O:SPY241220P00720000", "/v3/trades/O%3ASPY241220P00720000?"),
        ({"market": "crypto"}, "BTC-USD", "/v3/trades/X%3ABTCUSD?"),
        ({"market": "forex"}, "EUR/USD", "/v2/aggs/ticker/C%3AEURUSD/range/1/minute/"),
        ({"market": "indices"}, "I:SPX", "/v2/aggs/ticker/I%3ASPX/range/1/minute/"),
        ({"channels": ["AM"]}, "AAPL", "/v2/aggs/ticker/AAPL/range/1/minute/"),
    ],
)
def test_names_of_polygons_markets(options: dict[str, Any], asked: str, path: str) -> None:
    history = polygon(**options)
    span = SPAN._replace(asked=asked)
    request = history.request(span, history.first(span))
    assert request.url.startswith(f"https://api.massive.com{path}")
    assert "order=asc" in request.url or "sort=asc" in request.url
    assert request.headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in request.url


def test_feeds_without_a_history() -> None:
    assert PolygonConnector(url=None, api_key="k", options={"channels": ["Q"]}).history() is None
    assert Connector.history(twelve_data_connector := TwelveDataConnector(url=None, api_key="k")) is None
    assert twelve_data_connector.history() is not None


def test_next_page_is_on_the_same_host() -> None:
    """The key is not sent to another host, whatever a response says, and is not part of the cursor."""
    history = polygon("ws://127.0.0.1:4000/stocks")
    body = {"results": [], "next_url": "https://elsewhere.example/v3/trades/AAPL?cursor=abc%3D&apiKey=s3cret"}
    page = history.page(SPAN, "c", answer(body))
    assert page.cursor == "/v3/trades/AAPL?cursor=abc%3D"
    assert history.request(SPAN, page.cursor).url == "http://127.0.0.1:4000/v3/trades/AAPL?cursor=abc%3D"
    with pytest.raises(TransientError, match="the next one"):
        history.page(SPAN, page.cursor, answer(body))


def test_delayed_feeds_have_a_lag() -> None:
    assert polygon(cluster="delayed").lag == 900
    assert polygon().lag == 0


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"}, RateLimitedError),
        (403, {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, NotEntitledError),
        (
            403,
            {"status": "NOT_AUTHORIZED", "message": "Your plan doesn't include this data timeframe."},
            NotYetAvailableError,
        ),
        (401, {"status": "ERROR", "error": "Unknown API Key"}, KeyRefusedError),
        (404, {"status": "NOT_FOUND", "message": "Data not found."}, UnknownSymbolError),
        (400, {"status": "ERROR", "error": "invalid timestamp"}, PermanentError),
        (502, b"<html>", TransientError),
        (403, b"<html>Forbidden</html>", TransientError),
        (200, b'{"results": [{"price"', TransientError),
    ],
)
def test_what_polygons_errors_mean(status: int, body: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        polygon().page(SPAN, "c", answer(body, status))
    assert type(raised.value) is error
    if isinstance(body, dict):
        assert (body.get("message") or body["error"]) in str(raised.value)


@pytest.mark.parametrize("http_status", [None, 200])
@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (429, "You have run out of API credits for the current minute.", RateLimitedError),
        (401, "**apikey** parameter is incorrect or not specified.", KeyRefusedError),
        (403, "You are not authorized to access XHKG data.", NotEntitledError),
        (401, "You are unauthorized to access XHKG data.", NotEntitledError),
        (400, "**symbol** not found: NOSUCH.", UnknownSymbolError),
        (404, "**symbol** not found: NOSUCH.", UnknownSymbolError),
        (400, "Invalid **interval** provided", PermanentError),
        (500, "Internal error", TransientError),
    ],
)
def test_what_twelve_datas_errors_mean(
    http_status: int | None, code: int, message: str, error: type[Exception]
) -> None:
    body = {"code": code, "message": message, "status": "error"}
    with pytest.raises(error, match=message[:12].replace("*", r"\*")) as raised:
        twelve_data().page(SPAN, twelve_data().first(SPAN), answer(body, http_status or code))
    assert type(raised.value) is error


def test_how_long_a_limit_lasts() -> None:
    def seconds(history: History, body: dict[str, Any], **headers: str) -> float:
        with pytest.raises(RateLimitedError) as raised:
            history.page(SPAN, history.first(SPAN), answer(body, 429, **headers))
        return raised.value.seconds

    assert seconds(polygon(), {"error": "slow down"}) == 60
    assert seconds(polygon(), {"error": "slow down"}, **{"retry-after": "7"}) == 7
    noon = {"retry-after": "Wed, 11 Mar 2026 12:00:00 GMT", "date": "Wed, 11 Mar 2026 11:58:30 GMT"}
    assert seconds(polygon(), {"error": "slow down"}, **noon) == 90
    assert seconds(twelve_data(), {"code": 429, "message": "out of API credits for the current minute"}) == 60
    assert seconds(twelve_data(), {"code": 429, "message": "out of API credits for the day"}) == 3600


def test_bars_of_twelve_data() -> None:
    history = twelve_data()
    request = history.request(SPAN._replace(asked="AAPL:NASDAQ"), history.first(SPAN))
    assert request.url.startswith("https://api.twelvedata.com/time_series?symbol=AAPL&exchange=NASDAQ&interval=1min&")
    assert "start_date=2026-03-11+12%3A00%3A00&end_date=2026-03-11+12%3A10%3A00&timezone=UTC&order=asc" in request.url
    assert request.headers == {"X-TD-APIKEY": "s3cret"}
    prices = {"open": "148.73500", "high": "149.00000", "low": "148.5", "close": "148.9"}
    values = [{"datetime": f"2026-03-11 12:0{number}:00", **prices, "volume": "624277"} for number in range(3)]
    values += [{"datetime": "2026-03-11 12:10:00", **prices}]
    page = history.page(SPAN, history.first(SPAN), answer({"status": "ok", "values": values}))
    bars = events(history, page)
    assert bars[0] == Bar("AAPL", NOON, NOON + MINUTE, 148.735, 149.0, 148.5, 148.9, 624277.0)
    assert [(bar.start_time - NOON) // MINUTE for bar in bars] == [0, 1, 2], "without the bar that begins at the end"
    assert page.cursor == str(NOON // MINUTE + 3), "what is missing at the end is asked for once more"
    nothing = {"code": 400, "status": "error", "message": "No data is available on the specified dates."}
    assert history.page(SPAN, page.cursor, answer(nothing, 400)) == Page([], 0, None)
    odd = events(history, history.page(SPAN, page.cursor, answer({"status": "ok", "values": [{"datetime": "today"}]})))
    assert [type(event) for event in odd] == [Rejected]


def test_long_spans_of_twelve_data_are_requested_in_parts() -> None:
    history = twelve_data()
    span = SPAN._replace(end=NOON + 12_000 * MINUTE)
    cursor: str | None = history.first(span)
    asked = []
    while cursor is not None:
        asked.append(int(cursor) - NOON // MINUTE)
        cursor = history.page(span, cursor, answer({"status": "ok", "values": []})).cursor
    assert asked == [0, 4999, 9998]


class _Handler(http.server.BaseHTTPRequestHandler):
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"half of it")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that redirects and truncates its responses; its URL and the headers that it received."""
    handler = type("Handler", (_Handler,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", handler.seen  # type: ignore[attr-defined]
        finally:
            listening.shutdown()
            thread.join()


def test_the_client_does_not_leak_the_key(
    server: tuple[str, list[dict[str, str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, seen = server
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = HistoryClient()
    key = {"Authorization": "Bearer s3cret"}
    assert client.get(HistoryRequest(f"{url}/moved", key)).status == 302
    assert [headers["Authorization"] for headers in seen] == ["Bearer s3cret"]
    for place in (f"{url}/half?apikey=s3cret", "http://127.0.0.1:1/?apikey=s3cret"):
        with pytest.raises(TransientError) as raised:
            client.get(HistoryRequest(place, key))
        assert "s3cret" not in str(raised.value)
    client.close()
