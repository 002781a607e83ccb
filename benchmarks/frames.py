"""The frames to load: synthetic, and the same for the same arguments in every process."""

from __future__ import annotations

import random
import string
from typing import NamedTuple

from benchmarks.polygon_like import PolygonLikeConnector
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

SPAN_MILLISECONDS = 600_000
"""Milliseconds before `until` over which the ticks' times are spread."""


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

    def names(self) -> list[str]:
        """The symbols: one to three letters, like those of stocks."""
        return [symbol_name(number) for number in range(self.symbols)]

    def frames(self) -> list[bytes]:
        """All frames, in order."""
        draw = random.Random(self.events).random  # noqa: S311
        names = self.names()
        make = _price if self.per_frame == 1 else _trade
        begin, count = self.until - SPAN_MILLISECONDS, self.events
        made = [
            make(
                names[int(draw() * len(names))],
                begin + number * SPAN_MILLISECONDS // count,
                draw(),
                self.first + number,
            )
            for number in range(count)
        ]
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


def _price(symbol: str, milliseconds: int, chance: float, number: int) -> str:
    return (
        f'{{"event":"price","symbol":"{symbol}","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS",'
        f'"type":"Common Stock","timestamp":{milliseconds // 1000},"price":{100 + 50 * chance:.3f},'
        f'"day_volume":{1_000_000 + number}}}'
    )


def _trade(symbol: str, milliseconds: int, chance: float, number: int) -> str:
    return (
        f'{{"ev":"T","sym":"{symbol}","x":4,"i":"{number}","z":3,"p":{100 + 50 * chance:.3f},'
        f'"s":{1 + number % 500},"c":[0,12],"t":{milliseconds},"q":{3_000_000 + number}}}'
    )
