"""REST answers that are spoiled on command, and the account of what was asked."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ticks_standin import StandIn, StandInSettings, fetched_twice

NOON = datetime(2026, 3, 11, 16, tzinfo=timezone.utc)
TRADES = "/v3/trades/AAPL?apiKey=demo&order=asc&limit=100"
SERIES = "/time_series?apikey=demo&symbol=AAPL&interval=1min&timezone=UTC"


@pytest.fixture
def stand_in() -> Any:
    with StandIn(StandInSettings(rate=0, history_events=10_000, traded=["T.AAPL", "price.AAPL"])) as made:
        made.trade_unheard(400, NOON, NOON + timedelta(minutes=10))
        yield made


def get(stand_in: StandIn, path: str, timeout_s: float = 60.0) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(stand_in.http_url + path, timeout=timeout_s) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_statuses(stand_in: StandIn) -> None:
    stand_in.fail_requests(status=503, requests=2, path="/v3")
    stand_in.fail_requests("error_in_200", status=500, path="/time_series")
    assert get(stand_in, TRADES)[0] == 503
    assert get(stand_in, TRADES)[1]["status"] == "ERROR"
    assert get(stand_in, TRADES)[0] == 200
    status, body = get(stand_in, SERIES)
    assert (status, body["status"], body["code"]) == (200, "error", 500)
    assert get(stand_in, SERIES)[1]["status"] == "ok"
    assert [(request.status, request.fault) for request in stand_in.requests()] == [
        (503, "status"),
        (503, "status"),
        (200, ""),
        (200, "error_in_200"),
        (200, ""),
    ]


def test_broken_answers(stand_in: StandIn) -> None:
    stand_in.fail_requests("cut")
    with pytest.raises(http.client.IncompleteRead):
        get(stand_in, TRADES)
    stand_in.fail_requests("garbage")
    with pytest.raises(json.JSONDecodeError):
        get(stand_in, TRADES)
    stand_in.fail_requests("hang", requests=1_000, seconds=60)
    with pytest.raises(TimeoutError):
        get(stand_in, TRADES, timeout_s=0.2)
    stand_in.heal_requests()
    assert get(stand_in, TRADES)[0] == 200
    stand_in.fail_requests("hang", seconds=0.2)
    start = time.monotonic()
    assert get(stand_in, TRADES)[0] == 200
    assert time.monotonic() - start > 0.2


def test_partial_answers(stand_in: StandIn) -> None:
    whole = get(stand_in, TRADES)[1]["results"]
    stand_in.fail_requests("short_page")
    short = get(stand_in, TRADES)[1]
    assert short["results"] == whole[:50]
    path = short["next_url"].removeprefix(stand_in.http_url) + "&apiKey=demo"
    assert get(stand_in, path)[1]["results"][:50] == whole[50:]
    stand_in.fail_requests("truncated", requests=2)
    assert "next_url" not in get(stand_in, TRADES)[1]
    bars = get(stand_in, "/v2/aggs/ticker/AAPL/range/1/minute/2026-03-11/2026-03-11?apiKey=demo")[1]
    assert len(bars["results"]) == 5
    stand_in.fail_requests("short_page")
    assert len(get(stand_in, SERIES)[1]["values"]) == 5


def test_the_account_of_requests_tells_intervals(stand_in: StandIn) -> None:
    begin, end = (round((NOON + timedelta(minutes=minute)).timestamp()) for minute in (2, 5))
    get(stand_in, f"{TRADES}&timestamp.gte={begin}000000000&timestamp.lt={end}000000000")
    get(stand_in, f"{SERIES}&start_date=2026-03-11T16:02:00&end_date=2026-03-11T16:04:00")
    get(stand_in, f"/v2/aggs/ticker/AAPL/range/1/minute/{begin}000/{end - 1}999?apiKey=demo")
    trades, series, bars = stand_in.requests()
    for request in (trades, bars):
        assert (request.begins_ns, request.ends_ns) == (begin * 10**9, end * 10**9)
    assert series.begins_ns == bars.first_ns == series.first_ns == begin * 10**9
    assert series.last_ns == bars.last_ns == (end - 60) * 10**9
    assert (series.results, bars.results) == (3, 3)
    mine = [event for event in stand_in.made("T.AAPL").events if begin * 10**9 <= event.time_ns < end * 10**9]
    assert (trades.first_ns, trades.last_ns) == (mine[0].time_ns, mine[-1].time_ns)
    assert trades.results == len(mine)
    assert trades.asked["timestamp.gte"] == f"{begin}000000000"
    assert "apiKey" not in trades.asked


def test_what_is_fetched_twice(stand_in: StandIn) -> None:
    stand_in.fail_requests("cut")
    with pytest.raises(http.client.IncompleteRead):
        get(stand_in, TRADES)
    page = get(stand_in, TRADES)[1]
    while "next_url" in page:
        page = get(stand_in, page["next_url"].removeprefix(stand_in.http_url) + "&apiKey=demo")[1]
    get(stand_in, SERIES)
    get(stand_in, SERIES.replace("1min", "5min"))
    assert {request.subject for request in stand_in.requests()} == {
        "/v3/trades/AAPL",
        "/time_series AAPL 1min",
        "/time_series AAPL 5min",
    }
    assert fetched_twice(stand_in.requests()) == []
    get(stand_in, TRADES.replace("limit=100", "limit=1"))
    get(stand_in, SERIES)
    assert [(one.subject, other.number) for one, other in fetched_twice(stand_in.requests())] == [
        ("/time_series AAPL 1min", len(stand_in.requests())),
        ("/v3/trades/AAPL", len(stand_in.requests()) - 1),
    ]


def test_nobody_waits_when_the_stand_in_stops() -> None:
    with StandIn(StandInSettings(rate=0, history_events=10)) as stand_in:
        stand_in.fail_requests("hang", seconds=600)
        with pytest.raises(TimeoutError):
            get(stand_in, TRADES, timeout_s=0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 5
