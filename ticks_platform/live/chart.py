"""The newest candles as a picture, which Dagster's pages of assets show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from ticks_platform.live.series import Key, Point
from ticks_platform.pictures.candlesticks import PANEL_HEIGHT, PANEL_WIDTH, Candlestick, Panel, draw
from ticks_platform.pictures.svg import document, text

SYMBOLS = 2
"""Panels, beside each other."""

CANDLES = 60

SCALE = 0.78
"""So that they fit into a column of Dagster's."""


def svg(keys: Sequence[Key], series: Sequence[Sequence[Point]]) -> str:
    """The picture of these series, which have one width."""
    panels = [
        Panel(key.symbol, [_candlestick(point) for point in points[-CANDLES:]])
        for key, points in zip(keys, series, strict=True)
    ]
    if not panels:
        return words("no symbols yet")
    return draw(panels, timedelta(seconds=keys[0].step), columns=SYMBOLS, scale=SCALE)


def words(what: str) -> str:
    """A picture that says why there is none."""
    return document(text(8, 20, what), SYMBOLS * PANEL_WIDTH, PANEL_HEIGHT // 6, scale=SCALE)


def _candlestick(point: Point) -> Candlestick:
    bucket, *prices = point[:5]
    return Candlestick(
        datetime.fromtimestamp(bucket, timezone.utc), *(math.nan if price is None else price for price in prices)
    )
