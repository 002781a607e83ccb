"""The account that the stand-in keeps: what it sent, to whom."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Ending = Literal["closed", "aborted", "lost"]


class ConnectionAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection was sent. A frame counts once it is handed to the transport.

    What the client received is a prefix of it: all of it if it read until now, or up to the close frame of a connection
    that was ``closed`` by a closing handshake; possibly less if the stand-in ``aborted`` the connection or it was
    ``lost`` (the client vanished).

    ``events`` counts the market's events by channel and symbol, as ``price.AAPL`` or ``T.AAPL``, ``price_events``
    all of them and ``symbols`` those of each symbol. Events sent a second time and malformed ones are not among them:
    ``odd`` counts these, and frames that were replayed, by kind and then by event or by kind of malformation. Its other
    kinds (late, future, reordered, fractional) tell of how many of the counted ``events`` were so. ``sent`` holds the
    payload of every frame in the order of sending, and ``malformed`` the payload of each malformed event or frame, if
    the stand-in records.
    """

    number: int
    provider: str = "twelve_data"
    ending: Ending | None
    subscribed: list[str]
    frames: int
    price_events: int
    symbols: dict[str, int]
    events: dict[str, int] = {}
    odd: dict[str, dict[str, int]] = {}
    sent: list[bytes]
    malformed: list[bytes] = []

    def duplicates(self) -> int:
        """How many events were sent once more."""
        return sum(self.odd.get("duplicate", {}).values())

    def price_events_sent(self) -> list[dict[str, Any]]:
        """Twelve Data's recorded price events, decoded, in the order of sending, duplicates too.

        Injected frames are not among them unless they are price events in JSON themselves.
        """
        return self.events_sent("price")

    def events_sent(self, *channels: str) -> list[dict[str, Any]]:
        """The recorded events of these channels, decoded, in the order of sending.

        A channel is the ``ev`` of Polygon's events, and the ``event`` of Twelve Data's. Events that are malformed, but
        JSON objects with a channel, and duplicates are among them.
        """
        events = []
        for payload in self.sent:
            try:
                decoded = msgspec.json.decode(payload)
            except msgspec.DecodeError:
                continue
            for event in decoded if isinstance(decoded, list) else [decoded]:
                if isinstance(event, dict):
                    channel = event.get("ev", event.get("event"))
                    if channel in channels:
                        events.append(event)
        return events


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections since the start were sent.

    ``connections`` lists the open connections and the last 1,000 that ended, oldest first; the totals include all.
    ``price_events``, ``symbols`` and ``events`` count what the market made, injected and replayed frames count as
    ``frames`` only. ``ticks`` were made, of which bars are no part.
    """

    ticks: int
    frames: int
    price_events: int
    symbols: dict[str, int]
    events: dict[str, int] = {}
    odd: dict[str, dict[str, int]] = {}
    connections: list[ConnectionAccount]
