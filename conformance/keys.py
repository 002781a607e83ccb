"""What an event is known by, on the side that sends and on the side that receives; and which were sent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from ticks_standin import ConnectionAccount

Key = str


def price_key(symbol: str, timestamp: int, price: float, day_volume: float | None) -> Key:
    """Of a price event of Twelve Data: it has no identity of its own, but the day's volume grows with every tick."""
    return f"{symbol} {timestamp} {float(price)} {day_volume}"


def trade_key(symbol: str | None, trade: str | None) -> Key:
    """Of a trade of Polygon's."""
    return f"{symbol} {trade}"


def sent_keys(account: ConnectionAccount) -> list[Key]:
    """The good events that a connection was sent, in order, those that were sent once more too."""
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
