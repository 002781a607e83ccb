"""The account that the stand-in keeps: what it sent, to whom."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Ending = Literal["closed", "aborted", "lost"]


class ConnectionAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection was sent. A frame counts once it is handed to the transport.

    What the client received is a prefix of it: all of it if it read until now, or up to the close frame of a connection
    that was ``closed`` by a closing handshake; possibly less if the stand-in ``aborted`` the connection or it was
    ``lost`` (the client vanished). ``symbols`` counts price events by symbol; ``sent`` holds the payload of every frame
    in the order of sending, if the stand-in records.
    """

    number: int
    ending: Ending | None
    subscribed: list[str]
    frames: int
    price_events: int
    symbols: dict[str, int]
    sent: list[bytes]

    def price_events_sent(self) -> list[dict[str, Any]]:
        """The recorded price events, decoded, in the order of sending. Injected frames are not among them unless they
        are price events in JSON themselves.
        """
        events = []
        for payload in self.sent:
            try:
                event = msgspec.json.decode(payload)
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict) and event.get("event") == "price":
                events.append(event)
        return events


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections since the start were sent.

    ``connections`` lists the open connections and the last 1,000 that ended, oldest first; the totals include all.
    ``price_events`` and ``symbols`` count what the market made, injected frames count as ``frames`` only.
    """

    ticks: int
    frames: int
    price_events: int
    symbols: dict[str, int]
    connections: list[ConnectionAccount]
