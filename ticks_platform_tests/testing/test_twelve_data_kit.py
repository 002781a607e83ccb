"""Twelve Data's connector passes the kit: prices in whole seconds without ids, and a history of minute bars."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ticks_platform.feeds.twelve_data import TwelveDataConnector
from ticks_platform.testing import Case, ConnectorKit, MinuteBar, Trade, minute_bars
from ticks_platform.timestamps import SECOND


def frame(trade: Trade) -> bytes:
    kind = "Physical Currency" if "/" in trade.symbol else "Common Stock"
    told = {"event": "price", "symbol": trade.symbol, "type": kind, "timestamp": trade.time // SECOND}
    return json.dumps({**told, "price": trade.price}).encode()


def answer(said: Sequence[str]) -> list[bytes]:
    request = json.loads(said[-1])
    if request["action"] == "heartbeat":
        return [b'{"event":"heartbeat","status":"ok"}']
    success = [{"symbol": symbol} for symbol in request["params"]["symbols"].split(",")]
    told = {"event": f"{request['action']}-status", "status": "ok", "success": success, "fails": None}
    return [json.dumps(told).encode()]


def value(bar: MinuteBar) -> dict[str, str]:
    at = datetime.fromtimestamp(bar.seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    prices = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
    return {"datetime": at, **{name: f"{price:.5f}" for name, price in prices.items()}}


def past(by_symbol: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    values = [value(bar) for bar in minute_bars(by_symbol[asked["symbol"]])]
    found = [each for each in values if asked["start_date"] <= each["datetime"] <= asked["end_date"]]
    if not found:
        message = "No data is available on the specified dates. Try setting different start/end dates."
        return 400, {"code": 400, "message": message, "status": "error"}
    return 200, {"meta": {"symbol": asked["symbol"]}, "values": found[: int(asked["outputsize"])], "status": "ok"}


KIT = ConnectorKit(
    TwelveDataConnector,
    ["AAPL", "eur/usd"],
    trade=frame,
    answer=answer,
    recorded=[
        b'{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","type":"Common Stock",'
        b'"timestamp":1592249566,"price":342.0157,"day_volume":27631112}',
        b'{"event":"heartbeat","status":"ok"}',
    ],
    past=past,
    resolution=SECOND,
)

# Their server and its faults are the same for all connectors.
SLOW = ("it recovers", "campaign", "history reads all pages")


@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=[]) if not case.name.startswith(SLOW)], ids=str)
def test_it_passes(case: Case) -> None:
    case.run()


@pytest.mark.full
@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=range(1, 5)) if case.name.startswith(SLOW)], ids=str)
def test_it_passes_more(case: Case) -> None:
    case.run()
