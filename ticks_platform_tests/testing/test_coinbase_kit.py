"""Coinbase's connector passes the kit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pytest

from ticks_platform.feeds.coinbase import Coinbase
from ticks_platform.testing import Case, ConnectorKit, Trade
from ticks_platform_tests.support.coinbase_rest import page
from ticks_platform_tests.support.coinbase_rest import trade as told

RECORDED = (
    b'{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8",'
    b'"taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z",'
    b'"product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}',
    b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}',
)


def match(trade: Trade) -> dict[str, Any]:
    at = datetime.fromtimestamp(trade.seconds, timezone.utc)
    return told(trade.number, at, trade.price, trade.size)


def frame(trade: Trade) -> bytes:
    return json.dumps({**match(trade), "type": "match", "product_id": trade.symbol}).encode()


def answer(said: Sequence[str]) -> list[bytes]:
    names = [name for message in map(json.loads, said) for name in message["product_ids"]]
    return [json.dumps({"type": "subscriptions", "channels": [{"name": "matches", "product_ids": names}]}).encode()]


def past(trades: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    path, _, query = target.partition("?")
    return 200, page([match(trade) for trade in trades[path.split("/")[2]]], query)


KIT = ConnectorKit(
    Coinbase, ["BTC-USD", "eth/usd"], trade=frame, answer=answer, recorded=RECORDED, past=past, api_key=None
)


SLOW = {"it recovers from a stall", *(f"campaign {seed}" for seed in range(2, 12))}


@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=[1]) if case.name not in SLOW], ids=str)
def test_it_passes(case: Case) -> None:
    case.run()


@pytest.mark.full
@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=range(2, 12)) if case.name in SLOW], ids=str)
def test_it_passes_more(case: Case) -> None:
    case.run()
