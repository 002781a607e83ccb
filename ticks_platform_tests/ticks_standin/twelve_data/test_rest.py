"""Twelve Data's REST API at the stand-in: bars of the prices that were made, credits, and errors."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from twelvedata import TDClient
from twelvedata.exceptions import BadRequestError, InvalidApiKeyError, TwelveDataError

from ticks_standin import StandIn, StandInSettings

Connect = Callable[..., Any]

NOON = datetime(2026, 3, 11, 16, tzinfo=timezone.utc)
"""12:00 in New York, some days after the change to daylight saving time."""

PRICES = ("open", "high", "low", "close")
SERIES = "/time_series?interval=1min&timezone=UTC&symbol="


def on_command(**settings: Any) -> StandIn:
    traded = ["price.AAPL", "price.EUR/USD"]
    return StandIn(StandInSettings(**{"rate": 0, "history_events": 50_000, "traded": traded, **settings}))


def ask(stand_in: StandIn, path: str, key: str = "demo", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Status, body and headers; without a key in the query if that is empty."""
    url = stand_in.http_url + path + (f"&apikey={key}" if key else "")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def candles(events: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Open, high, low and close by minute, of price events in the order of sending; times in UTC."""
    minutes: dict[str, list[float]] = {}
    for event in events:
        minute = datetime.fromtimestamp(event["timestamp"] // 60 * 60, timezone.utc)
        minutes.setdefault(f"{minute:%Y-%m-%d %H:%M:%S}", []).append(event["price"])
    return {
        minute: tuple(f"{price:.5f}" for price in (prices[0], max(prices), min(prices), prices[-1]))
        for minute, prices in minutes.items()
    }


def test_bars_are_those_of_the_prices_that_were_made() -> None:
    with on_command() as stand_in:
        stand_in.trade_unheard(1_200, NOON, NOON + timedelta(minutes=10))
        official = TDClient("demo", base_url=stand_in.http_url)
        for symbol in ("AAPL", "EUR/USD"):
            served = official.time_series(symbol=symbol, interval="1min", timezone="UTC", order="asc").as_json()
            expected = candles([event.decoded() for event in stand_in.made(symbol, payloads=True).events])
            assert {bar["datetime"]: tuple(bar[name] for name in PRICES) for bar in served} == expected
            assert len(expected) == 10


def test_bars_are_those_of_the_prices_that_were_sent(connect: Connect) -> None:
    with on_command(traded=[], rest_open_bar=True) as stand_in:
        client = connect(stand_in.url())
        client.act("subscribe", "AAPL")
        stand_in.send_exactly(300)
        values = ask(stand_in, SERIES + "AAPL")[1]["values"]
        expected = candles(client.hear_prices(300))
        assert {bar["datetime"]: tuple(bar[name] for name in PRICES) for bar in values} == expected


def test_volume_adds_up_to_the_day_volume_that_was_streamed() -> None:
    with on_command(traded=["price.AAPL"]) as stand_in:
        stand_in.trade_unheard(500, NOON, NOON + timedelta(minutes=10))
        values = ask(stand_in, SERIES + "AAPL")[1]["values"]
        last = stand_in.made(payloads=True).events[-1].decoded()
        assert sum(int(bar["volume"]) for bar in values) == last["day_volume"]


def test_shape() -> None:
    with on_command(traded=["price.AAPL", "price.EUR/USD", "price.BTC/USD", "price.SPX"]) as stand_in:
        stand_in.trade_unheard(500, NOON, NOON + timedelta(minutes=3))
        status, stock, headers = ask(stand_in, SERIES + "AAPL")
        assert status == 200
        assert headers["Api-credits-used"] == "1"
        assert stock["status"] == "ok"
        assert stock["meta"] == {
            "symbol": "AAPL",
            "interval": "1min",
            "currency": "USD",
            "exchange_timezone": "America/New_York",
            "exchange": "NASDAQ",
            "mic_code": "XNGS",
            "type": "Common Stock",
        }
        assert list(stock["values"][0]) == ["datetime", "open", "high", "low", "close", "volume"]
        assert [bar["datetime"] for bar in stock["values"]] == [f"2026-03-11 16:0{minute}:00" for minute in (2, 1, 0)]
        pair = ask(stand_in, SERIES + "EUR/USD")[1]
        assert pair["meta"]["currency_base"] == "Euro"
        assert "volume" not in pair["values"][0]
        assert ask(stand_in, SERIES + "BTC/USD")[1]["meta"]["exchange"] == "Coinbase Pro"
        assert "volume" not in ask(stand_in, SERIES + "SPX")[1]["values"][0]
        assert float(ask(stand_in, "/price?symbol=AAPL")[1]["price"]) == float(stock["values"][0]["close"])


@pytest.mark.parametrize("zone", ["UTC", "Exchange", "Asia/Tokyo", None])
def test_time_zones(zone: str | None) -> None:
    local = {"UTC": "16", "Asia/Tokyo": "01"}.get(zone or "", "12")
    day = 12 if zone == "Asia/Tokyo" else 11
    with on_command() as stand_in:
        stand_in.trade_unheard(1_000, NOON, NOON + timedelta(minutes=8))
        asked = "/time_series?interval=1min&symbol=AAPL&order=ASC" + (f"&timezone={zone}" if zone else "")
        for form in ("T", "%20"):
            dates = f"&start_date=2026-03-{day}{form}{local}:02:00&end_date=2026-03-{day}{form}{local}:04:00"
            values = ask(stand_in, asked + dates)[1]["values"]
            assert [bar["datetime"] for bar in values] == [
                f"2026-03-{day} {local}:0{minute}:00" for minute in (2, 3, 4)
            ]
        (day_bar,) = ask(stand_in, asked.replace("1min", "1day") + "&start_date=2026-03-11")[1]["values"]
        assert day_bar["datetime"] == "2026-03-11", "days are the exchange's in every time zone"


@pytest.mark.parametrize(("interval", "bars"), [("5min", 36), ("1h", 3), ("1day", 1)])
def test_longer_bars(interval: str, bars: int) -> None:
    with on_command() as stand_in:
        begin = NOON - timedelta(days=1)
        stand_in.trade_unheard(2_000, begin, begin + timedelta(hours=3))
        asked = "&start_date=2026-03-10&outputsize=5000"
        minutes = ask(stand_in, SERIES + "AAPL" + asked)[1]["values"]
        longer = ask(stand_in, SERIES.replace("1min", interval) + "AAPL" + asked)[1]["values"]
        assert len(longer) == bars
        assert longer[0]["close"] == minutes[0]["close"]
        assert longer[-1]["open"] == minutes[-1]["open"]
        assert max(float(bar["high"]) for bar in longer) == max(float(bar["high"]) for bar in minutes)
        assert sum(int(bar["volume"]) for bar in longer) == sum(int(bar["volume"]) for bar in minutes)
        assert len(longer[0]["datetime"]) == (10 if interval == "1day" else 19)


def test_how_many_bars() -> None:
    with on_command() as stand_in:
        stand_in.trade_unheard(2_000, NOON, NOON + timedelta(minutes=60))

        def minutes(query: str) -> list[int]:
            return [int(bar["datetime"][14:16]) for bar in ask(stand_in, SERIES + "AAPL" + query)[1]["values"]]

        assert minutes("") == list(range(59, 29, -1)), "thirty, unless asked otherwise"
        assert minutes("&start_date=2026-03-11") == list(range(59, -1, -1))
        assert minutes("&start_date=2026-03-11&outputsize=3") == [59, 58, 57]
        assert minutes("&start_date=2026-03-11&outputsize=3&order=asc") == [0, 1, 2]
        assert minutes("&end_date=2026-03-11%2016:02:00") == [2, 1, 0]
    with on_command(twelve_data_overfull="newest", twelve_data_end_inclusive=False) as stand_in:
        stand_in.trade_unheard(2_000, NOON, NOON + timedelta(minutes=60))
        assert minutes("&start_date=2026-03-11&outputsize=3&order=asc") == [57, 58, 59]
        assert minutes("&end_date=2026-03-11%2016:02:00") == [1, 0]


def test_several_symbols() -> None:
    with on_command() as stand_in:
        stand_in.trade_unheard(500, NOON, NOON + timedelta(minutes=3))
        status, body, headers = ask(stand_in, SERIES + "AAPL,EUR/USD,NOPE,1211")
        assert status == 200
        assert headers["Is_batch"] == "true"
        assert headers["Api-credits-used"] == "4"
        assert list(body) == ["AAPL", "EUR/USD", "NOPE", "1211"]
        assert body["EUR/USD"]["status"] == "ok"
        assert len(body["AAPL"]["values"]) == 3
        assert (body["NOPE"]["status"], body["NOPE"]["code"]) == ("error", 400)
        assert body["1211"]["code"] == 403
        batch = (
            TDClient("demo", base_url=stand_in.http_url).time_series(symbol="AAPL,EUR/USD", interval="1min").as_json()
        )
        assert {symbol: len(bars) for symbol, bars in batch.items()} == {"AAPL": 3, "EUR/USD": 3}


@pytest.mark.parametrize("in_200", [False, True])
@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/time_series?interval=1min", 404, "symbol"),
        (SERIES + "NOPE", 400, "**symbol** not found: NOPE"),
        (SERIES + "1211", 403, "XHKG"),
        (SERIES.replace("1min", "7min") + "AAPL", 400, "Invalid **interval** provided: 7min"),
        (SERIES + "AAPL&start_date=soon", 400, "start_date"),
        (SERIES + "AAPL&end_date=2026-03-11T00:00:00Z", 400, "end_date"),
        (SERIES + "AAPL&outputsize=5001", 400, "outputsize"),
        (SERIES.replace("UTC", "Mars") + "AAPL", 400, "timezone"),
        (SERIES + "AAPL", 400, "No data is available on the specified dates."),
    ],
)
def test_errors(path: str, code: int, text: str, in_200: bool) -> None:
    with on_command(twelve_data_errors_in_200=in_200) as stand_in:
        status, body, _ = ask(stand_in, path)
        assert status == (200 if in_200 else code)
        assert (body["status"], body["code"]) == ("error", code)
        assert text in body["message"]


def test_an_interval_without_bars_may_be_an_empty_answer() -> None:
    with on_command(twelve_data_no_data="empty") as stand_in:
        status, body, _ = ask(stand_in, SERIES + "AAPL")
        assert (status, body["status"], body["values"]) == (200, "ok", [])


@pytest.mark.parametrize("in_200", [False, True])
def test_the_official_client_tells_errors(in_200: bool) -> None:
    with on_command(keys=["good"], twelve_data_errors_in_200=in_200) as stand_in:
        official = TDClient("good", base_url=stand_in.http_url)
        with pytest.raises(BadRequestError, match="No data is available"):
            official.time_series(symbol="AAPL", interval="1min").as_json()
        official.ctx.apikey = "bad"
        with pytest.raises(InvalidApiKeyError, match="apikey"):
            official.time_series(symbol="AAPL", interval="1min").as_json()
    with on_command(twelve_data_credits_per_minute=1, rest_minute_s=86_400.0) as stand_in:
        official = TDClient("demo", base_url=stand_in.http_url)
        with pytest.raises(TwelveDataError, match="2 API credits were used"):
            official.time_series(symbol="AAPL,EUR/USD", interval="1min").as_json()


def test_keys() -> None:
    with on_command(keys=["good"], twelve_data_no_data="empty") as stand_in:
        for headers in ({"Authorization": "apikey good"}, {"X-TD-APIKEY": "good"}):
            assert ask(stand_in, SERIES + "AAPL", key="", **headers)[0] == 200
        assert ask(stand_in, SERIES + "AAPL", key="good")[0] == 200
        for status, body, _ in (ask(stand_in, SERIES + "AAPL", key=""), ask(stand_in, SERIES + "AAPL", key="bad")):
            assert (status, body["code"]) == (401, 401)
            assert "apikey" in body["message"]
        assert "good" not in str(stand_in.requests()), "the account has no keys"


@pytest.mark.parametrize(("limit", "period"), [("minute", "the current minute"), ("day", "the day")])
def test_credits_run_out(limit: str, period: str) -> None:
    settings = {f"twelve_data_credits_per_{limit}": 8, "rest_minute_s": 86_400.0, "twelve_data_no_data": "empty"}
    with on_command(**settings) as stand_in:
        for used in (2, 4, 6, 8):
            status, _, headers = ask(stand_in, SERIES + "AAPL,EUR/USD")
            assert (status, headers["Api-credits-used"]) == (200, str(used))
            assert headers.get("Api-credits-left", str(8 - used)) == str(8 - used)
        status, body, _ = ask(stand_in, SERIES + "AAPL")
        assert (status, body["code"]) == (429, 429)
        assert body["message"].startswith(
            f"You have run out of API credits for {period}. 9 API credits were used, with the current limit being 8."
        )
        assert [request.status for request in stand_in.requests("/time_series")] == [*[200] * 4, 429]


def test_the_newest_bars_are_served_later() -> None:
    with on_command(twelve_data_rest_delay_s=120.0) as stand_in:
        now = datetime.fromtimestamp(time.time() // 60 * 60, timezone.utc)
        stand_in.trade_unheard(1_000, now - timedelta(minutes=10), now)
        values = ask(stand_in, SERIES + "AAPL")[1]["values"]
        newest = datetime.fromisoformat(values[0]["datetime"]).replace(tzinfo=timezone.utc)
        assert newest + timedelta(minutes=1, seconds=120) <= datetime.now(timezone.utc)
        assert len(values) in (8, 9)
        stand_in.delay_rest(0)
        assert len(ask(stand_in, SERIES + "AAPL")[1]["values"]) == 10


def test_the_bar_that_is_not_over() -> None:
    for even_open in (False, True):
        with on_command(rest_open_bar=even_open, traded=["price.AAPL"], twelve_data_no_data="empty") as stand_in:
            stand_in.send_exactly(5)
            assert bool(ask(stand_in, SERIES.replace("1min", "1day") + "AAPL")[1]["values"]) is even_open
