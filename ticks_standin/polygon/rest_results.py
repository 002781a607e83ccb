"""Trades and bars in the JSON of Polygon's REST API."""

from __future__ import annotations

from typing import Any

import msgspec

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.polygon import options
from ticks_standin.polygon.trades import decode_trade
from ticks_standin.provider.rest_bars import RestBar

_MS = 1_000_000


def trade_result(event: Event, market: str, known_ns: int) -> dict[str, Any]:
    """One of the ``results`` of ``/v3/trades``, with the correction that was known at ``known_ns`` of UNIX time."""
    fraction = event.time_ns % _MS
    if market == "crypto":
        sent = msgspec.json.decode(event.payload)
        return {
            "conditions": sent["c"],
            "exchange": sent["x"],
            "id": str(sent["i"]),
            "participant_timestamp": event.time_ns,
            "price": sent["p"],
            "size": sent["s"],
        }
    if market == "options":
        return options.result(event)
    amendment, payload, correction = event.amendment, event.payload, event.record
    if amendment is not None and amendment.known_ns <= known_ns:
        payload, correction = amendment.payload or payload, amendment.code
    trade = decode_trade(payload)
    fields: dict[str, Any] = {"conditions": list(trade.c)} if trade.c else {}
    if correction:
        fields["correction"] = correction
    fields |= {
        "exchange": trade.x,
        "id": trade.i,
        "participant_timestamp": (trade.pt or trade.t) * _MS + fraction,
        "price": trade.p,
        "sequence_number": trade.q,
        "sip_timestamp": event.time_ns,
        "size": trade.s,
        "tape": trade.z,
    }
    if trade.ds:
        fields["decimal_size"] = trade.ds
    if trade.trfi and trade.trft:
        fields |= {"trf_id": trade.trfi, "trf_timestamp": trade.trft * _MS + fraction}
    return fields


def bar_result(bar: RestBar, market: str, factor: float = 1.0) -> dict[str, Any]:
    """One of the ``results`` of ``/v2/aggs``, adjusted by the ``factor`` of later splits."""
    prices: dict[str, Any] = {"o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low}
    if factor != 1:
        prices = {name: round(price * factor, 6) for name, price in prices.items()}
    prices["t"] = bar.start_ms
    if market == "indices":
        return prices
    volume = bar.volume / UNITS / factor
    return {
        "v": int(volume) if volume.is_integer() else volume,
        "vw": round(bar.turnover / bar.volume * factor, 4) if bar.volume else prices["c"],
        **prices,
        "n": bar.events,
    }
