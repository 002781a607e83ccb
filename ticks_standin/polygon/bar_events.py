"""Polygon's bars as events: one second and one minute long. Sources of the facts: see ``events``."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Any, Protocol

import msgspec

from ticks_standin.market.bars import MINUTE_MS, UNITS, Bar, Day
from ticks_standin.market.events import Event
from ticks_standin.settings import StandInSettings

BAR_CHANNELS = {"stocks": ("A", "AM"), "forex": ("CAS", "CA"), "crypto": ("XAS", "XA"), "indices": ("A", "AM")}
"""The channels of each market for bars of a second, and of a minute."""

_encode = msgspec.json.Encoder().encode


class Barred(Hashable, Protocol):
    """What has bars: a symbol of one of Polygon's markets."""

    @property
    def market(self) -> str:
        """Its market."""

    @property
    def symbol(self) -> str:
        """Its name there."""


class BarEvents:
    """Writes bars as the events of their channels."""

    def __init__(self, settings: StandInSettings, draw: random.Random) -> None:
        self._settings = settings
        self._random = draw

    def event(self, source: Barred, bar: Bar, day: Day) -> Event:
        """The event of a bar, with what its day is until then."""
        market = source.market
        channel = BAR_CHANNELS[market][bar.length == MINUTE_MS]
        make = {"stocks": self._of_stock, "indices": self._of_index}.get(market, self._of_pair)
        payload = _encode({"ev": channel, **make(source, bar, day)})
        topic = (market, channel, source.symbol)
        return Event(payload, f"{channel}.{source.symbol}", source.symbol, topic, time_ns=bar.start * 1_000_000)

    def _average(self, volume: int, trades: int) -> float:
        average = volume / trades / UNITS
        odd = self._random.random() < self._settings.polygon_odd_z_share
        return round(average, 2) if odd else max(round(average), 1)

    def _of_stock(self, source: Barred, bar: Bar, day: Day) -> dict[str, Any]:
        fields = {
            "sym": source.symbol,
            "v": bar.volume // UNITS,
            "av": day.volume // UNITS,
            "op": day.open,
            "vw": round(bar.turnover / bar.volume, 4) if bar.volume else bar.close,
            **_prices(bar),
            "a": round(day.turnover / day.volume, 4) if day.volume else bar.close,
            "z": self._average(bar.volume, bar.trades),
            "s": bar.start,
            "e": bar.end,
        }
        if self._settings.polygon_decimal_sizes:
            fields |= {"dv": decimal_text(bar.volume), "dav": decimal_text(day.volume)}
        return fields

    def _of_index(self, source: Barred, bar: Bar, day: Day) -> dict[str, Any]:
        end = bar.start if self._settings.polygon_index_bar_end == "start" else bar.end
        return {"sym": source.symbol, "op": day.open, **_prices(bar), "s": bar.start, "e": end}

    def _of_pair(self, source: Barred, bar: Bar, day: Day) -> dict[str, Any]:
        fields: dict[str, Any] = {"pair": source.symbol, **_prices(bar)}
        if source.market == "forex":
            fields |= {"v": bar.trades, "s": bar.start}
            return fields | ({"e": bar.end} if self._settings.polygon_bar_end else {})
        return fields | {
            "v": bar.volume / UNITS,
            "vw": round(bar.turnover / bar.volume, 4),
            "z": self._average(bar.volume, bar.trades),
            "s": bar.start,
            "e": bar.end,
        }


def decimal_text(volume: int) -> str:
    """A volume in 1/``UNITS`` as dv and dav have it: a decimal string with at least one digit after the point."""
    whole, rest = divmod(volume, UNITS)
    return f"{whole}.{f'{rest:08d}'.rstrip('0') or '0'}"


def _prices(bar: Bar) -> dict[str, float]:
    return {"o": bar.open, "c": bar.close, "h": bar.high, "l": bar.low}
