"""A connector for frames of many trades, as Polygon.io sends them, until the platform has its own.

It speaks to the benchmark's own server only: no authentication, no control messages.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer, Reaction
from ticks_platform.feeds.events import Event, Rejected, Tick

_NANOSECONDS_PER_MILLISECOND = 1_000_000


class _Trade(msgspec.Struct, gc=False):
    """A stock trade: symbol, price, size, time in milliseconds."""

    ev: str
    sym: str
    p: float
    s: float
    t: int


_decode = msgspec.json.Decoder(list[_Trade]).decode


class _Conversation(Conversation):
    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols

    def opening(self) -> Sequence[str]:
        return [f'{{"action":"subscribe","params":"{",".join(f"T.{symbol}" for symbol in self._symbols)}"}}']

    def receive(self, frame: bytes) -> Reaction:
        return Reaction(has_data=True)

    def unacknowledged(self) -> frozenset[str]:
        return frozenset()


class PolygonLikeConnector(Connector):
    """Trades, some tens in one frame."""

    requires_key = False

    def endpoint(self) -> Endpoint:
        return Endpoint(self._url, {}, self._url)

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        return None

    def converse(self) -> Conversation:
        return _Conversation(self.symbols)

    def decode(self, frame: bytes) -> list[Event]:
        try:
            trades = _decode(frame)
        except msgspec.MsgspecError as error:
            return [Rejected(str(error), frame)]
        return [Tick(trade.sym, trade.t * _NANOSECONDS_PER_MILLISECOND, trade.p, None, trade.s) for trade in trades]
