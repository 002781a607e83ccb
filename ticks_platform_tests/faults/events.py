"""Frames whose result is known before they are sent: a row, a rejected event, or a control event."""

from __future__ import annotations

import enum
import json
import random
import time
from hashlib import blake2b
from typing import Any, NamedTuple

from ticks_standin import RawFrame

SYMBOLS = ("AAPL", "BTC/USD", "EUR/USD", "BRK.B", "ÆRØ😀", "A" * 100)

HUGE = 900_000
"""Bytes of padding of a huge frame; the usual limit of websockets and of providers is a megabyte."""


def digest(frame: bytes) -> str:
    """A frame's digest for the side file."""
    return blake2b(frame, digest_size=8).hexdigest()


class Fate(enum.Enum):
    """The result of an event that is not a tick."""

    REJECTED = "rejected"
    CONTROL = "control"


class Row(NamedTuple):
    """A tick as it must be in the table, with unique price and day_volume."""

    symbol: str
    price: float
    microseconds: int
    day_volume: int | None


class Tape:
    """Makes frames, and remembers the result of each."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._made = 0
        self._fates: dict[bytes, Row | Fate] = {}

    def fate(self, payload: bytes) -> Row | Fate:
        """The result of a frame; frames that were not made here are the stand-in's answers to the client."""
        known = self._fates.get(payload)
        if known is not None:
            return known
        assert json.loads(payload)["event"] in ("subscribe-status", "heartbeat"), f"nobody made {payload[:200]!r}"
        return Fate.CONTROL

    def by_digest(self) -> dict[str, Row]:
        """The rows of the frames that are ticks, by the digests of the side file."""
        return {digest(payload): fate for payload, fate in self._fates.items() if isinstance(fate, Row)}

    def burst(self, frames: int) -> list[RawFrame]:
        """Frames to send at once: mostly good ones, and every kind of oddity that feeds were seen to send."""
        made: list[RawFrame] = []
        while len(made) < frames:
            odds = self._rng.random()
            if odds < 0.9:
                made.append(self._good())
            elif odds < 0.92:
                made += [self._good()] * 2  # the same twice is two events: Twelve Data numbers nothing
            else:
                made.append(self._rng.choice(self._strange())())
        return made

    def heavy(self, megabytes: int) -> list[RawFrame]:
        """Good frames of this total size, to fill a journal."""
        return [self._price(note="x" * 60_000) for _ in range(megabytes * 17)]

    def _strange(self) -> tuple[Any, ...]:
        # Refused events are costly, because the loader searches its batch for them, but these frames are rare.
        return (
            self._text_for_numbers,
            self._fraction_of_a_second,
            self._late,
            self._little_ahead,
            self._huge,
            self._without_volume,
            self._refused,
            self._refused,
            self._malformed,
            self._malformed,
            self._control,
        )

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _remember(self, payload: bytes, fate: Row | Fate, *, text: bool = True) -> RawFrame:
        self._fates[payload] = fate
        return RawFrame(payload, text=text)

    def _price(self, fate: Fate | None = None, *, microseconds: int | None = None, **fields: Any) -> RawFrame:
        number, now = self._number(), int(time.time())
        symbol = self._rng.choice(SYMBOLS)
        event = {"event": "price", "symbol": symbol, "timestamp": now, "price": number, "day_volume": number, **fields}
        event = {name: value for name, value in event.items() if value is not ...}
        row = Row(
            symbol,
            float(number),
            now * 1_000_000 if microseconds is None else microseconds,
            number if event.get("day_volume") in (number, str(number)) else None,
        )
        return self._remember(json.dumps(event).encode(), fate or row)

    def _good(self) -> RawFrame:
        return self._price()

    def _text_for_numbers(self) -> RawFrame:
        now = int(time.time())
        number = self._made + 1
        return self._price(
            microseconds=now * 1_000_000, timestamp=str(now), price=f"{number}.0", day_volume=str(number)
        )

    def _fraction_of_a_second(self) -> RawFrame:
        now = int(time.time())
        return self._price(microseconds=now * 1_000_000 + 250_000, timestamp=now + 0.25)

    def _late(self) -> RawFrame:
        then = self._rng.choice([631_152_000, int(time.time()) - 30 * 86_400, int(time.time()) - 3_600])
        return self._price(microseconds=then * 1_000_000, timestamp=then)

    def _little_ahead(self) -> RawFrame:
        then = int(time.time()) + 16
        return self._price(microseconds=then * 1_000_000, timestamp=then)

    def _huge(self) -> RawFrame:
        return self._price(note="x" * HUGE)

    def _without_volume(self) -> RawFrame:
        return self._price(day_volume=self._rng.choice([None, ..., "nan", "much", {}]))

    def _refused(self) -> RawFrame:
        fields: dict[str, Any] = self._rng.choice(
            [
                {"symbol": "A\0B"},
                {"symbol": ...},
                {"symbol": ""},
                {"price": ...},
                {"price": None},
                {"price": "nan"},
                {"price": "dear"},
                {"timestamp": ...},
                {"timestamp": 0},
                {"timestamp": -1},
                {"timestamp": int(time.time()) + 86_400},
                {"timestamp": 10**30},
                {"timestamp": 9_223_372_036},
                {"event": ...},
            ]
        )
        return self._price(Fate.REJECTED, note=self._number(), **fields)

    def _malformed(self) -> RawFrame:
        number = b"%d" % self._number()
        payload, text = self._rng.choice(
            [
                (b"", True),
                (b"", False),
                (b'{"event":"price","symbol":"AAPL","price":' + number, True),
                (b"[" + number + b"]", True),
                (number, True),
                (b"\xff\xfe not UTF-8 " + number, True),
                (b"\x00\xff\x82" + number, False),
                (b"[" * 5_000 + number, True),
                (b"y" * HUGE + number, True),
            ]
        )
        return self._remember(payload, Fate.REJECTED, text=text)

    def _control(self) -> RawFrame:
        made: dict[str, Any] = self._rng.choice(
            [{"event": "surprise"}, {"event": "heartbeat", "status": "ok"}, {"status": "error", "message": "slow down"}]
        )
        return self._remember(json.dumps({**made, "number": self._number()}).encode(), Fate.CONTROL)
