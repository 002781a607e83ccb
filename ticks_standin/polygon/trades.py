"""Trades of US stocks as events, and what becomes of some of them: they are taken back, or corrected.

The WebSocket has no message for that (no documentation has one). REST tells by ``correction``: the original gets a
code, and a record with the same id and a later time follows. Codes: NYSE's, see ``prints``; that the record repeats id
and conditions of the original is an assumption.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import NOTHING, Amendment, Event
from ticks_standin.polygon.prints import RECORD_OF, Print

_MS = 1_000_000
_SOONEST_MS = 60_000
_LATEST_MS = 2_400_000


class Trade(msgspec.Struct, tag_field="ev", tag="T", kw_only=True, gc=False):
    """A trade of a stock; fields are in the order of the specification's sample."""

    sym: str
    x: int
    i: str
    z: int
    p: float
    s: int
    ds: str | UnsetType = UNSET
    c: Sequence[int] | UnsetType = UNSET
    t: int
    pt: int | UnsetType = UNSET
    q: int
    trfi: int | UnsetType = UNSET
    trft: int | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
decode_trade = msgspec.json.Decoder(Trade).decode


def decimal_size(volume: int) -> str:
    """A volume in 1/``UNITS`` as ds has it: without a point if it is whole."""
    size, fraction = divmod(volume, UNITS)
    return f"{size}.{f'{fraction:08d}'.rstrip('0')}" if fraction else str(size)


def correct(event: Event, code: int, at_ms: int, right: tuple[float | None, int] = (None, 0)) -> Event:
    """Take a trade back, or correct it to the ``right`` price and volume, by a correction of this code.

    Returns the record, which is for REST only.
    """
    price, volume = right
    payload = b""
    if price is not None:
        trade = decode_trade(event.payload)
        trade.p, trade.s = price, volume // UNITS
        if trade.ds is not UNSET:
            trade.ds = decimal_size(volume)
        payload = _encode(trade)
    known_ns = at_ms * _MS
    event.amendment = Amendment(code, known_ns, payload, price, volume)
    return Event(
        event.payload,
        event.name,
        event.symbol,
        event.topic,
        time_ns=known_ns,
        sets=NOTHING,
        sets_day=NOTHING,
        record=RECORD_OF[code],
    )


class Corrections:
    """The trades of one symbol that will be corrected, each between a minute and 40 minutes after it was made."""

    def __init__(self, draw: random.Random) -> None:
        self._random = draw
        self._expected: list[tuple[int, int, Event, Print]] = []
        self._number = 0

    def expect(self, event: Event, made: Print) -> None:
        """Have an event corrected later, as its print says."""
        self._number += 1
        due_ms = event.time_ns // _MS + _SOONEST_MS + int(self._random.random() * (_LATEST_MS - _SOONEST_MS))
        heapq.heappush(self._expected, (due_ms, self._number, event, made))

    def due(self, now_ms: int | None = None) -> list[Event]:
        """Correct what is due, all of it if no time is given; returns the records."""
        records = []
        while self._expected and (now_ms is None or self._expected[0][0] <= now_ms):
            at_ms, _, event, made = heapq.heappop(self._expected)
            # A command may have taken it back meanwhile.
            if event.amendment is None:
                records.append(correct(event, made.fate, at_ms, made.right))
        return records
