"""What assets show of candles: numbers, which Dagster plots over time, and a chart."""

import base64
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any

import dagster as dg

from ticks_platform.escaping import markdown
from ticks_platform.pictures.candlesticks import Candlestick, Panel, draw
from ticks_platform.timescale.candles.candles import Candle, CandleSummary
from ticks_platform.timescale.candles.chart_query import newest_candles

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

SYMBOLS = 4
"""Panels of a chart. With 120 candles each, its Markdown has some 15 kB, and the event log keeps it for ever."""


def contents(candle: Candle, summary: CandleSummary) -> dict[str, Any]:
    """What a candle table holds, in numbers; small enough for every observation."""
    numbers: dict[str, Any] = {
        "candles": summary.rows,
        "symbols": summary.symbols,
        "first bucket": str(summary.first_bucket or "none yet"),
        "last bucket": str(summary.last_bucket or "none yet"),
    }
    if summary.last_bucket is not None:
        # 0 while the newest bucket is open.
        lag = max(0.0, time.time() - (summary.last_bucket + candle.bucket).timestamp())
        numbers["last bucket at"] = dg.MetadataValue.timestamp(summary.last_bucket)
        numbers["lag in seconds"] = dg.MetadataValue.float(round(lag, 1))
    return numbers


def chart(cursor: "Cursor", candle: Candle, summary: CandleSummary) -> dict[str, dg.MetadataValue]:
    """The chart, for materializations only: observations come every minute and would fill the event log."""
    if summary.last_bucket is None:
        return {}
    step, rows = newest_candles(cursor, candle, summary.last_bucket, symbols=SYMBOLS)
    by_symbol = groupby(rows, key=lambda row: row[0])
    panels = [Panel(symbol, [Candlestick(*row[1:]) for row in group]) for symbol, group in by_symbol]
    if not panels:
        return {}
    minutes = step.total_seconds() / 60
    width = f"{minutes:.0f} min" if minutes < 60 else f"{minutes / 60:.0f} h"
    image = base64.b64encode(draw(panels, step).encode()).decode()
    names = ", ".join(panel.symbol for panel in panels)
    text = f"Candles of {width}\n\n![{markdown(names)}](data:image/svg+xml;base64,{image})"
    return {"chart": dg.MetadataValue.md(text)}
