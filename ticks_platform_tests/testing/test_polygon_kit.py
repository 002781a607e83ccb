"""Polygon's connector passes the kit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ticks_platform.feeds.polygon import PolygonConnector
from ticks_platform.testing import Case, ConnectorKit, Trade

PAGE = 40


def status(kind: str, message: str) -> dict[str, str]:
    return {"ev": "status", "status": kind, "message": message}


def event(trade: Trade) -> dict[str, Any]:
    told = {"x": 4, "i": str(trade.number), "z": 3, "p": trade.price, "s": 0, "ds": str(trade.size), "c": [14]}
    return {"ev": "T", "sym": trade.symbol, **told, "t": trade.milliseconds, "q": trade.number * 7}


def answer(said: Sequence[str]) -> list[bytes]:
    request = json.loads(said[-1])
    if request["action"] == "auth":
        good = request["params"] == "key-of-the-kit"
        return [json.dumps([status("auth_success" if good else "auth_failed", "")]).encode()]
    word = f"{request['action']}d to: "
    return [json.dumps([status("success", word + name)]).encode() for name in request["params"].split(",")]


def past(by_symbol: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    url = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    begin, end = int(asked["timestamp.gte"]), int(asked["timestamp.lt"])
    known = [trade for trade in by_symbol[url.path.rpartition("/")[2]] if begin <= trade.time < end]
    at = int(asked.get("cursor", 0))
    results = [
        {
            "conditions": [14],
            "exchange": 4,
            "id": str(trade.number),
            "participant_timestamp": trade.time - 250_000,
            "price": trade.price,
            "sip_timestamp": trade.time + 123_456,  # of which the WebSocket has the milliseconds
            "size": 0,
            "decimal_size": str(trade.size),
            "tape": 3,
        }
        for trade in known[at : at + PAGE]
    ]
    body: dict[str, Any] = {"status": "OK", "request_id": "1", "results": results}
    if len(known) > at + PAGE:
        query = url.query.split("&cursor=")[0]
        body["next_url"] = f"https://api.polygon.io{url.path}?{query}&cursor={at + PAGE}"
    return 200, body


KIT = ConnectorKit(
    PolygonConnector,
    ["AAPL", "BACpB"],
    trade=lambda trade: json.dumps([event(trade)]).encode(),
    answer=answer,
    greeting=[json.dumps([status("connected", "Connected Successfully")]).encode()],
    recorded=[
        b'[{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}]',
        b'[{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"t":1536036818784}]',
    ],
    past=past,
    batch=lambda made: json.dumps(list(map(event, made))).encode(),
    results_per_page=PAGE,
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
