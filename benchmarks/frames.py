"""The frames to load: synthetic, and the same for the same arguments in every process."""

from __future__ import annotations

import random
import string
import time
from typing import NamedTuple

from benchmarks.polygon_like import PolygonLikeConnector
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

EVENTS_PER_MILLISECOND = 100
"""How dense the ticks' times are: as on a feed that sends as fast as they are loaded."""

NOW, _NOW_SECONDS = b"@@@@@@@@@@@@@", b"##########"
"""What stands for the time until a frame is sent: as long as milliseconds, or seconds, since the Unix epoch."""


class Tape(NamedTuple):
    """Describes frames: the number of events, of events per frame, and of symbols.

    One event per frame is a price event of Twelve Data; several are trades as Polygon.io sends them.
    """

    events: int
    per_frame: int
    symbols: int
    until: int
    """The time of the last tick, in milliseconds since the Unix epoch."""
    first: int = 0
    """Number of the first event: trades with different numbers are different trades."""

    def of_now(self) -> Tape:
        """The same, up to now."""
        return self._replace(until=time.time_ns() // 1_000_000)

    def names(self) -> list[str]:
        """The symbols: one to three letters, like those of stocks."""
        return [symbol_name(number) for number in range(self.symbols)]

    def frames(self) -> list[bytes]:
        """All frames, in order, of times before `until`."""
        begin = self.until - self.events // EVENTS_PER_MILLISECOND
        return [
            stamped(frame, begin + number * self.per_frame // EVENTS_PER_MILLISECOND)
            for number, frame in enumerate(self.unstamped())
        ]

    def unstamped(self) -> list[bytes]:
        """All frames, in order, to be `stamped` when they are sent."""
        draw = random.Random(self.events).random  # noqa: S311
        names = self.names()
        make = _price if self.per_frame == 1 else _trade
        made = [make(names[int(draw() * len(names))], draw(), self.first + number) for number in range(self.events)]
        if self.per_frame == 1:
            return [event.encode() for event in made]
        return [f"[{','.join(made[at : at + self.per_frame])}]".encode() for at in range(0, len(made), self.per_frame)]

    def connector(self, url: str) -> Connector:
        """A connector that decodes these frames."""
        kind = TwelveDataConnector if self.per_frame == 1 else PolygonLikeConnector
        return kind(url=url, api_key="benchmark")


def symbol_name(number: int) -> str:
    """A, B, … Z, AA, AB, …"""
    name = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        name = string.ascii_uppercase[letter] + name
    return name


def stamped(data: bytes, milliseconds: int) -> bytes:
    """Frames with this time."""
    return data.replace(NOW, b"%013d" % milliseconds).replace(_NOW_SECONDS, b"%010d" % (milliseconds // 1000))


def _price(symbol: str, chance: float, number: int) -> str:
    return (
        f'{{"event":"price","symbol":"{symbol}","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS",'
        f'"type":"Common Stock","timestamp":{_NOW_SECONDS.decode()},"price":{100 + 50 * chance:.3f},'
        f'"day_volume":{1_000_000 + number}}}'
    )


_CONDITIONS = ("[12]", "[14,41]", "[37]", "[]", "[12,37]", "[14,12,37,41]")


def _trade(symbol: str, chance: float, number: int) -> str:
    # Exchanges count in different ways: ids have 2 to 14 characters.
    trade_id = (f"{number}", f"5298{number:010}", f"7{number * 7919 % 10_000_019}_{number % 1000}")[number % 3]
    return (
        f'{{"ev":"T","sym":"{symbol}","x":{1 + number % 19},"i":"{number % 3}{trade_id}","z":3,'
        f'"p":{100 + 50 * chance:.3f},"s":{1 + number % 500},"c":{_CONDITIONS[number % 6]},'
        f'"t":{NOW.decode()},"q":{3_000_000 + number}}}'
    )
