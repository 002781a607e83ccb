"""A chart of a few hundred characters: Dagster shows Markdown below 1,000 characters without a click."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ticks_platform.pictures.candlesticks import DOWN, UP, Candlestick

LONGEST = 960
"""Characters of Markdown at most; from 1,000 on, Dagster hides it behind a button."""

STEP, HEIGHT, BOTTOM = 5, 80, 94
"""Width of a candle, height of the bars, and where the label is, in units of the picture."""
WIDTH = 306
"""Of the picture, with place for 60 candles."""


def markdown(name: str, candles: Sequence[Candlestick], *, label: str) -> str:
    """The newest candles as an image, each a bar from low to high; as many as fit. `name` must be escaped.

    Candles without prices leave their place empty. There is no clock in it: `label` says which time it shows.
    """
    kept = list(candles)
    while True:
        text = f"![{name}](data:image/svg+xml,{encoded(_draw(kept, label))})"
        if len(text) <= LONGEST or not kept:
            return text
        kept = kept[max(1, len(kept) // 12) :]


def _draw(candles: Sequence[Candlestick], label: str) -> str:
    finite = [candle for candle in candles if all(map(math.isfinite, candle[1:]))]
    low, high = min((c.low for c in finite), default=0.0), max((c.high for c in finite), default=0.0)
    spread = high - low

    def y(price: float) -> int:
        return round(HEIGHT - (price - low) / spread * (HEIGHT - 4)) if spread > 0 else HEIGHT // 2

    up: list[str] = []
    down: list[str] = []
    for place, candle in enumerate(candles):
        if all(map(math.isfinite, candle[1:])):
            top = y(candle.high)
            bar = f"M{place * STEP + 3},{top}v{max(1, y(candle.low) - top)}"
            (up if candle.close >= candle.open else down).append(bar)
    bars = "".join(
        f"<path d='{''.join(path)}' stroke='{colour}'/>" for path, colour in ((up, UP), (down, DOWN)) if path
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='400' viewBox='0 0 {WIDTH} 99' style='background:#fff'>"
        f"<g stroke-width='3'>{bars}</g><text y='{BOTTOM}' x='3' font-size='10'>{label}</text></svg>"
    )


def encoded(svg: str) -> str:
    """As an address in Markdown: what would end it, or begin something else in it, is percent-encoded."""
    for character, code in (
        ("%", "%25"), ("#", "%23"), ("<", "%3C"), (">", "%3E"), (" ", "%20"), ("(", "%28"), (")", "%29"), ("\\", "%5C")
    ):  # fmt: skip
        svg = svg.replace(character, code)
    return svg
