"""Keys by which sent and received events are compared."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from ticks_standin import ConnectionAccount

Key = str


def price_key(symbol: str, timestamp: int, price: float, day_volume: float | None) -> Key:
    """The key of a Twelve Data price, which has no id; but the day's volume grows with every tick."""
    volume = None if day_volume is None else float(day_volume)
    return f"{symbol} {timestamp} {float(price)} {volume}"


def trade_key(symbol: str | None, trade: str | None) -> Key:
    """The key of a Polygon trade."""
    return f"{symbol} {trade}"


def sent_keys(account: ConnectionAccount) -> list[Key]:
    """Keys of the good events that were sent on a connection, in order, including repeated ones."""
    malformed = Counter(account.malformed)
    keys: list[Key] = []
    for payload in account.sent:
        if malformed[payload]:
            malformed[payload] -= 1
            continue
        try:
            frame = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        for event in frame if isinstance(frame, list) else [frame]:
            key = _key(event, "ev" if isinstance(frame, list) else "event")
            if key is not None:
                keys.append(key)
    return keys


def _key(event: Any, name: str) -> Key | None:
    if not isinstance(event, dict) or name not in event:
        return None
    if event.get("event") == "price" and isinstance(event.get("price"), float | int):
        return price_key(event["symbol"], event["timestamp"], event["price"], event.get("day_volume"))
    if event.get("ev") == "T" and isinstance(event.get("p"), float | int):
        return trade_key(event["sym"], event["i"])
    return None
