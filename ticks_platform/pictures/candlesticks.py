"""Candlestick charts as SVG: small multiples, one panel per symbol.

A plotting library would cost each run a second of import and 60 MB of memory, and its pictures are five times as large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from ticks_platform.escaping import lines as without_controls
from ticks_platform.pictures.svg import GRID, HEADING, INK, document, text

PANEL_WIDTH, PANEL_HEIGHT = 440, 210
LEFT, RIGHT, TOP, BOTTOM = 8, 64, 30, 22
"""Margins of a panel in pixels, with prices on the right and times below."""

LONG_BREAK = 8
"""Missing candles above which a break, such as a night or weekend, is drawn narrow, with a dotted line."""
BREAK_WIDTH = 3
"""Width of such a break, in candles."""

UP, DOWN = "#12805c", "#c0392b"


class Candlestick(NamedTuple):
    """The prices of one candle; one that is not finite is not drawn, and leaves its place empty."""

    at: datetime
    open: float
    high: float
    low: float
    close: float


class Panel(NamedTuple):
    """The candles of one symbol, oldest first."""

    symbol: str
    candles: Sequence[Candlestick]


def draw(panels: Sequence[Panel], step: timedelta, *, columns: int = 2, scale: float = 1.0) -> str:
    """An SVG of these panels; `step` is the duration of a candle. With `scale`, it is shown larger or smaller."""
    columns = max(1, min(columns, len(panels)))
    width, height = columns * PANEL_WIDTH, math.ceil(len(panels) / columns) * PANEL_HEIGHT
    body = "".join(
        f'<g transform="translate({index % columns * PANEL_WIDTH} {index // columns * PANEL_HEIGHT})">'
        f"{''.join(_panel(panel, step))}</g>"
        for index, panel in enumerate(panels)
    )
    return document(body, width, height, scale=scale)


def _panel(panel: Panel, step: timedelta) -> Iterator[str]:
    candles = [candle for candle in panel.candles if all(map(math.isfinite, candle[1:]))]
    yield f"<title>{escape(without_controls(panel.symbol))}</title>"
    yield text(LEFT, 18, panel.symbol, size=13, weight="bold", fill=HEADING)
    if not candles:
        yield text(LEFT, PANEL_HEIGHT / 2, "no candles to draw")
        return
    low, high = min(candle.low for candle in candles), max(candle.high for candle in candles)
    first, last = candles[0].open, candles[-1].close
    decimals = _decimals(low, high)
    # A share of a price that may be negative says nothing.
    change = f"{(last - first) / first:+.2%}" if low > 0 else f"{last - first:+,.{decimals}f}"
    yield text(
        PANEL_WIDTH - RIGHT, 18, f"{last:,.{decimals}f}  {change}", anchor="end", fill=UP if last >= first else DOWN
    )

    spread = (high - low) or abs(high) * 0.001 or 1.0
    bottom = PANEL_HEIGHT - BOTTOM

    def y(price: float) -> float:
        middle = (high + low) / 2
        return (TOP + bottom) / 2 - (price - middle) / spread * (bottom - TOP - 8)

    for share in (0.0, 0.5, 1.0):
        price = low + share * (high - low)
        yield f'<path d="M{LEFT} {y(price):.1f}H{PANEL_WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield text(PANEL_WIDTH - RIGHT + 5, y(price) + 4, f"{price:,.{decimals}f}")
        if high == low:
            break

    places, breaks = _places(candles, step)
    pitch = min((PANEL_WIDTH - LEFT - RIGHT) / (places[-1] + 1), 14.0)
    if breaks:
        lines = "".join(f"M{LEFT + place * pitch:.1f} {TOP}V{bottom}" for place in breaks)
        yield f'<path class="breaks" d="{lines}" stroke="{INK}" stroke-dasharray="1 4" opacity=".6"/>'
    for name, colour in (("up", UP), ("down", DOWN)):
        wicks, bodies = [], []
        for place, candle in zip(places, candles, strict=True):
            if (candle.close >= candle.open) is not (name == "up"):
                continue
            x = LEFT + (place + 0.5) * pitch
            upper, lower = y(max(candle.open, candle.close)), y(min(candle.open, candle.close))
            wicks.append(f"M{x:.1f} {y(candle.high):.1f}V{y(candle.low):.1f}")
            # A body without height would be invisible.
            bodies.append(f"M{x:.1f} {upper:.1f}V{max(lower, upper + 0.8):.1f}")
        if bodies:
            yield f'<path class="wicks" d="{"".join(wicks)}" stroke="{colour}"/>'
            yield f'<path class={quoteattr(name)} d="{"".join(bodies)}" stroke="{colour}" '
            yield f'stroke-width="{max(1.0, pitch * 0.7):.1f}"/>'

    begin, end = candles[0].at, candles[-1].at
    pattern = "%H:%M" if begin.date() == end.date() else "%b %d %H:%M"
    yield text(LEFT, PANEL_HEIGHT - 6, begin.astimezone(timezone.utc).strftime(pattern))
    if len(candles) > 1:
        # Below the newest candle, without overlapping the first label.
        x = max(LEFT + (places[-1] + 1) * pitch, LEFT + 170)
        yield text(x, PANEL_HEIGHT - 6, end.astimezone(timezone.utc).strftime(f"{pattern} UTC"), anchor="end")


def _places(candles: Sequence[Candlestick], step: timedelta) -> tuple[list[int], list[float]]:
    """Positions of the candles and of the lines in long breaks, in candle widths."""
    places, breaks = [0], []
    for before, candle in pairwise(candles):
        distance = max(1, round((candle.at - before.at) / step))
        if distance > LONG_BREAK:
            distance = BREAK_WIDTH
            breaks.append(places[-1] + 1 + (BREAK_WIDTH - 1) / 2)
        places.append(places[-1] + distance)
    return places, breaks


def _decimals(low: float, high: float) -> int:
    """Decimals in which the ends of a price axis differ; at least 2 for prices below 100,000."""
    spread = (high - low) or abs(high) or 1.0
    return min(8, max(0 if max(high, -low) >= 100_000 else 2, 1 - math.floor(math.log10(spread))))
