"""Polygon's REST API at the stand-in: consistent with what was streamed, and limited as the provider's is."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from massive import RESTClient
from massive.exceptions import BadResponse

from ticks_standin import StandIn, StandInError, StandInSettings
from ticks_standin.provider.rest import Allowance

Connect = Callable[..., Any]

NOON = datetime(2026, 3, 11, 16, tzinfo=timezone.utc)
"""12:00 in New York, some days after the change to daylight saving time."""


def on_command(**settings: Any) -> StandIn:
    return StandIn(StandInSettings(**{"rate": 0, "history_events": 50_000, "traded": ["T.AAPL"], **settings}))


def get(stand_in: StandIn, path: str, **headers: str) -> tuple[int, Any]:
    """Status and body; with the key unless an authorization is given."""
    given = headers or {"Authorization": "Bearer demo"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(stand_in.http_url + path, headers=given), timeout=60
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def ns(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000_000


def made_ids(stand_in: StandIn, begins_ns: int = 0, ends_ns: int = 2**63) -> list[str]:
    events = stand_in.made("T.AAPL", payloads=True).events
    return [event.decoded()["i"] for event in events if begins_ns <= event.time_ns < ends_ns]


def test_trades_are_those_of_the_websocket(connect_polygon: Connect) -> None:
    with on_command() as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        stand_in.send_exactly(300)
        heard = client.hear_data(300, "T")
        served = list(RESTClient("demo", base=stand_in.http_url).list_trades("AAPL", order="asc", limit=41))
        assert len(served) == 300
        for event, trade in zip(heard, served, strict=True):
            assert (trade.exchange, trade.id, trade.trf_id) == (event["x"], event["i"], event.get("trfi"))
            assert trade.sip_timestamp // 1_000_000 == event["t"]
            assert trade.participant_timestamp // 1_000_000 == event["pt"]
            assert (trade.trf_timestamp or 0) // 1_000_000 == event.get("trft", 0)
            assert (trade.price, trade.size, trade.decimal_size) == (event["p"], event["s"], event["ds"])
            assert (trade.conditions, trade.tape, trade.sequence_number) == (event.get("c"), event["z"], event["q"])
        times = [trade.sip_timestamp for trade in served]
        assert sorted(set(times)) == times
        assert any(time % 1_000_000 for time in times), "nanoseconds, not only milliseconds"


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_join_without_a_seam(order: str) -> None:
    with on_command() as stand_in:
        # All within a few milliseconds: the pages end in the middle of them.
        stand_in.send_exactly(400)
        status, body = get(stand_in, f"/v3/trades/AAPL?order={order}&limit=7")
        served = [trade["id"] for trade in body["results"]]
        while "next_url" in body:
            assert "demo" not in body["next_url"]
            status, body = get(stand_in, body["next_url"].removeprefix(stand_in.http_url))
            assert status == 200
            served += [trade["id"] for trade in body["results"]]
        assert served == (made_ids(stand_in) if order == "asc" else made_ids(stand_in)[::-1])
        requests = stand_in.requests()
        assert len(requests) == 58
        assert {request.asked["limit"] for request in requests} == {"7"}
        assert sum(request.results for request in requests) == 400
        bounds = sorted((request.first_ns, request.last_ns) for request in requests)
        assert all(one[1] < next_one[0] for one, next_one in pairwise(bounds))


def test_newest_first_and_a_thousand_unless_asked_otherwise() -> None:
    with on_command() as stand_in:
        stand_in.trade_unheard(1_200, NOON, NOON + timedelta(minutes=1))
        _, body = get(stand_in, "/v3/trades/AAPL")
        assert [trade["id"] for trade in body["results"]] == made_ids(stand_in)[::-1][:1_000]
        assert body["status"] == "OK"
        assert body["request_id"]


def test_intervals() -> None:
    with on_command() as stand_in:
        stand_in.trade_unheard(600, NOON, NOON + timedelta(minutes=10))
        one, two = ns(NOON + timedelta(minutes=2)), ns(NOON + timedelta(minutes=4))

        def served(query: str) -> list[str]:
            status, body = get(stand_in, f"/v3/trades/AAPL?order=asc&limit=50000&{query}")
            assert status == 200
            return [trade["id"] for trade in body["results"]]

        assert served(f"timestamp.gte={one}&timestamp.lt={two}") == made_ids(stand_in, one, two)
        first = stand_in.made("T.AAPL").events[0].time_ns
        assert served(f"timestamp.gt={first}") == made_ids(stand_in)[1:]
        assert served(f"timestamp.gte={first}") == made_ids(stand_in)
        assert served(f"timestamp.lt={first}") == []
        assert served(f"timestamp.lte={first}") == served(f"timestamp={first}") == made_ids(stand_in)[:1]
        day = served("timestamp=2026-03-11")
        assert day == served("timestamp.gte=2026-03-11") == served("timestamp.lte=2026-03-11") == made_ids(stand_in)
        assert served("timestamp.gt=2026-03-11") == served("timestamp.lt=2026-03-11") == []
        assert served("timestamp=2026-03-10") == []


def test_dates_are_new_yorks() -> None:
    with on_command(polygon_tape="plain") as stand_in:
        evening = NOON + timedelta(hours=11)  # 23:00 in New York, the next day in UTC
        stand_in.trade_unheard(120, evening, evening + timedelta(hours=2))
        _, today = get(stand_in, "/v3/trades/AAPL?timestamp=2026-03-11")
        _, bars = get(stand_in, "/v2/aggs/ticker/AAPL/range/1/day/2026-03-11/2026-03-12")
        assert len(today["results"]) == bars["results"][0]["n"] == 60
        midnight = datetime(2026, 3, 11, 4, tzinfo=timezone.utc)
        assert [bar["t"] for bar in bars["results"]] == [
            ns(day) // 1_000_000 for day in (midnight, midnight + timedelta(days=1))
        ]


def test_bars_are_those_of_the_websocket() -> None:
    with on_command(rest_open_bar=True, traded=["AM.AAPL"]) as stand_in:
        for _ in range(3):
            stand_in.send_exactly(200)
            stand_in.send_bars()
        sent = [event.decoded() for event in stand_in.made("AM.AAPL", payloads=True).events]
        last = {bar["s"]: bar for bar in sent}
        assert len(sent) >= 3, "revised twice"
        bars = list(RESTClient("demo", base=stand_in.http_url).list_aggs("AAPL", 1, "minute", min(last), max(last)))
        assert len(bars) == len(last)
        for bar in bars:
            theirs = last[bar.timestamp]
            assert (bar.open, bar.high, bar.low, bar.close) == tuple(theirs[name] for name in "ohlc")
            assert f"{bar.volume:.8f}" == f"{float(theirs['dv']):.8f}"
            assert bar.vwap == theirs["vw"]
        assert sum(bar.transactions for bar in bars) == 600


def test_what_is_taken_back_is_told_by_rest_only(connect_polygon: Connect) -> None:
    with on_command(rest_open_bar=True, polygon_tape="plain") as stand_in:
        client = connect_polygon(stand_in.url("polygon")).enter("T.AAPL")
        stand_in.send_exactly(100)
        heard = {event["i"]: event for event in client.hear_data(100, "T")}
        (cancelled,) = stand_in.take_back("T.AAPL")
        (corrected,) = stand_in.take_back("T.AAPL", kind="corrected", price=500.0, size=7.5)
        erroneous = stand_in.take_back("T.AAPL", 2, "erroneous")
        assert [cancelled, corrected, *erroneous[::-1]] == list(heard)[::-1][:4]

        served = list(RESTClient("demo", base=stand_in.http_url).list_trades("AAPL", order="asc", limit=9))
        assert len(served) == 104
        told = [(trade.id, trade.correction) for trade in served if trade.correction]
        assert sorted(told) == sorted(
            [(cancelled, 8), (cancelled, 10), (corrected, 1), (corrected, 12)]
            + [(each, code) for each in erroneous for code in (7, 11)]
        )
        by_code = {trade.correction: trade for trade in served if trade.correction}
        assert (by_code[1].price, by_code[1].size, by_code[1].decimal_size) == (500.0, 7, "7.5")
        assert (by_code[12].price, by_code[12].decimal_size) == (heard[corrected]["p"], heard[corrected]["ds"])
        for original, record in ((8, 10), (1, 12), (7, 11)):
            assert by_code[original].sip_timestamp // 1_000_000 == heard[by_code[original].id]["t"]
            assert by_code[record].sip_timestamp >= by_code[original].sip_timestamp

        bars = get(stand_in, "/v2/aggs/ticker/AAPL/range/1/minute/0/9999999999999")[1]["results"]
        assert sum(bar["n"] for bar in bars) == 97
        assert max(bar["h"] for bar in bars) == 500.0
        left = sum(float(each["ds"]) for each in heard.values() if each["i"] not in (cancelled, corrected, *erroneous))
        assert sum(bar["v"] for bar in bars) == pytest.approx(left + 7.5)

        made = stand_in.made("T.AAPL", payloads=True)
        assert len(made.events) == 100, "a record is not an event that was to be sent"
        assert {event.decoded()["i"]: event.correction for event in made.events if event.correction} == {
            cancelled: 8,
            corrected: 1,
            **dict.fromkeys(erroneous, 7),
        }
        stand_in.send_exactly(5)
        assert len(client.hear_data(5, "T")) == 5, "the WebSocket says nothing of it"
        with pytest.raises(StandInError, match="101 trades can be taken back, not 200"):
            stand_in.take_back("T.AAPL", 200)


def test_corrections_are_known_as_late_as_trades() -> None:
    with on_command(polygon_rest_delay_s=3_600.0, polygon_tape="plain") as stand_in:
        begins = datetime.now(timezone.utc) - timedelta(hours=2)
        stand_in.trade_unheard(10, begins, begins + timedelta(minutes=1))
        (cancelled,) = stand_in.take_back("T.AAPL")

        def told() -> dict[str, int | None]:
            _, body = get(stand_in, "/v3/trades/AAPL?limit=100")
            return {trade["id"]: trade.get("correction") for trade in body["results"]}

        assert told()[cancelled] is None
        assert len(told()) == 10
        stand_in.delay_rest(0, "polygon")
        assert told()[cancelled] == 8


def test_the_real_tape_corrects_by_itself() -> None:
    with on_command(polygon_taken_back=0.05) as stand_in:
        stand_in.trade_unheard(2_000, NOON, NOON + timedelta(hours=3))
        served = list(RESTClient("demo", base=stand_in.http_url).list_trades("AAPL", order="asc", limit=50_000))
        records = [trade for trade in served if (trade.correction or 0) >= 10]
        originals = [trade for trade in served if trade.correction in (1, 7, 8)]
        assert 60 < len(records) == len(originals) < 140
        assert len(stand_in.made("T.AAPL").events) == len(served) - len(records) == 2_000


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_bars_come_in_pages_counted_in_minutes(sort: str) -> None:
    with on_command(polygon_tape="plain") as stand_in:
        stand_in.trade_unheard(600, NOON, NOON + timedelta(hours=3))
        client = RESTClient("demo", base=stand_in.http_url)
        hours = list(client.list_aggs("AAPL", 1, "hour", NOON, NOON + timedelta(hours=3), sort=sort, limit=130))
        assert [request.results for request in stand_in.requests()] == [2, 1]
        starts = [ns(NOON + timedelta(hours=hour)) // 1_000_000 for hour in range(3)]
        assert [bar.timestamp for bar in hours] == (starts if sort == "asc" else starts[::-1])
        minutes = list(client.list_aggs("AAPL", 1, "minute", NOON, NOON + timedelta(hours=3), limit=100))
        assert len(minutes) == 180
        assert sum(bar.volume for bar in minutes) == pytest.approx(sum(bar.volume for bar in hours))
        assert sum(bar.transactions for bar in minutes) == 600
        assert (minutes[0].open, minutes[-1].close) == (
            min(hours, key=lambda bar: bar.timestamp).open,
            max(hours, key=lambda bar: bar.timestamp).close,
        )


def test_other_markets() -> None:
    with on_command(traded=["XT.BTC-USD", "C.EUR/USD", "V.I:SPX"]) as stand_in:
        stand_in.trade_unheard(600, NOON, NOON + timedelta(minutes=3))
        client = RESTClient("demo", base=stand_in.http_url)
        ids = [event.decoded()["i"] for event in stand_in.made("XT.BTC-USD", payloads=True).events]
        assert [trade.id for trade in client.list_trades("X:BTCUSD", order="asc")] == ids
        for ticker in ("X:BTCUSD", "C:EURUSD", "I:SPX"):
            bars = list(client.list_aggs(ticker, 1, "minute", "2026-03-11", "2026-03-11"))
            assert [bar.timestamp for bar in bars] == [
                ns(NOON + timedelta(minutes=minute)) // 1_000_000 for minute in range(3)
            ]
            assert all(bar.low <= bar.open <= bar.high for bar in bars)


def test_nothing_there() -> None:
    with on_command() as stand_in:
        assert get(stand_in, "/v3/trades/NOPE")[1]["results"] == []
        status, body = get(stand_in, "/v2/aggs/ticker/AAPL/range/1/minute/2026-01-01/2026-01-02")
        assert status == 200
        assert "results" not in body
        assert body["resultsCount"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v3/trades/AAPL?limit=50001",
        "/v3/trades/AAPL?limit=0",
        "/v3/trades/AAPL?order=up",
        "/v3/trades/AAPL?timestamp.gte=yesterday",
        "/v3/trades/AAPL?cursor=nonsense",
        "/v2/aggs/ticker/AAPL/range/1/minute/today/2026-01-02",
        "/v2/aggs/ticker/AAPL/range/1/fortnight/2026-01-01/2026-01-02",
    ],
)
def test_a_bad_question_is_an_error(path: str) -> None:
    with on_command() as stand_in:
        status, body = get(stand_in, path)
        assert status == 400
        assert body["status"] == "ERROR"
        assert body["error"]


def test_keys() -> None:
    with on_command(keys=["good"]) as stand_in:
        status, body = get(stand_in, "/v3/trades/AAPL", Accept="*/*")
        assert (status, body["status"], body["error"]) == (401, "ERROR", "API Key was not provided")
        assert get(stand_in, "/v3/trades/AAPL?apiKey=bad", Accept="*/*")[1]["error"] == "Unknown API Key"
        assert get(stand_in, "/v3/trades/AAPL?apiKey=good", Accept="*/*")[0] == 200
        with pytest.raises(BadResponse, match="Unknown API Key"):
            next(RESTClient("bad", base=stand_in.http_url).list_trades("AAPL"))
        assert "good" not in str(stand_in.requests()), "the account has no keys"


def test_what_a_plan_does_not_include() -> None:
    with on_command(polygon_rest_unentitled=["trades"]) as stand_in:
        status, body = get(stand_in, "/v3/trades/AAPL")
        assert (status, body["status"]) == (403, "NOT_AUTHORIZED")
        assert body["message"].startswith("You are not entitled to this data.")
        assert get(stand_in, "/v2/aggs/ticker/AAPL/range/1/minute/2026-01-01/2026-01-02")[0] == 200


def test_five_requests_a_minute() -> None:
    with on_command(polygon_requests_per_minute=5, rest_minute_s=86_400.0) as stand_in:
        answers = [get(stand_in, "/v3/trades/AAPL") for _ in range(6)]
        assert [status for status, _ in answers] == [200] * 5 + [429]
        assert "exceeded the maximum requests per minute" in answers[-1][1]["error"]
        assert get(stand_in, "/v3/trades/AAPL", Authorization="Bearer other")[0] == 200
        assert [request.status for request in stand_in.requests()] == [*[200] * 5, 429, 200]


def test_the_next_minute_begins_anew() -> None:
    allowance = Allowance(5, 60.0)
    assert [allowance.use("a", 2, 59_999) for _ in range(3)] == [2, 4, 6]
    assert allowance.use("b", 1, 59_999) == 1
    assert allowance.use("a", 1, 60_000) == 1


def test_the_newest_is_served_later() -> None:
    with on_command(polygon_rest_delay_s=120.0) as stand_in:
        now = datetime.fromtimestamp(time.time() // 60 * 60, timezone.utc)
        stand_in.trade_unheard(600, now - timedelta(minutes=10), now)
        _, body = get(stand_in, "/v3/trades/AAPL?limit=50000")
        served_until = time.time() - 120
        assert 470 <= len(body["results"]) < 600
        assert body["results"][0]["sip_timestamp"] / 1e9 == pytest.approx(served_until, abs=30)
        bars = get(stand_in, f"/v2/aggs/ticker/AAPL/range/1/minute/0/{ns(now) // 1_000_000}")[1]["results"]
        assert all(bar["t"] / 1e3 + 60 + 120 <= time.time() for bar in bars)
        assert len(bars) in (8, 9)
        stand_in.delay_rest(0, "polygon")
        assert len(get(stand_in, "/v3/trades/AAPL?limit=50000")[1]["results"]) == 600


def test_without_a_history_nothing_is_served() -> None:
    with StandIn(StandInSettings(rate=0)) as stand_in:
        status, body = get(stand_in, "/v3/trades/AAPL")
        assert status == 501
        assert "history_events" in body["error"]


def test_letters_tell_tickers_apart() -> None:
    with on_command(traded=["T.BACpB", "T.BACPB"], accept_any_symbol=True, polygon_tape="plain") as stand_in:
        stand_in.trade_unheard(200, NOON, NOON + timedelta(minutes=3))
        served = {}
        for symbol in ("BACpB", "BACPB"):
            made = {
                event.decoded()["i"]: event.decoded()["p"]
                for event in stand_in.made(f"T.{symbol}", payloads=True).events
            }
            trades = get(stand_in, f"/v3/trades/{symbol}?limit=1000&order=asc")[1]["results"]
            assert {trade["id"]: trade["price"] for trade in trades} == made
            bars = get(stand_in, f"/v2/aggs/ticker/{symbol}/range/1/minute/2026-03-11/2026-03-11")[1]["results"]
            assert max(bar["h"] for bar in bars) == max(made.values())
            served[symbol] = set(made)
        assert not served["BACpB"] & served["BACPB"]
        assert get(stand_in, "/v3/trades/bacpb")[1]["results"] == []
