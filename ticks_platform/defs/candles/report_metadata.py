"""What a report shows on an asset's page: little, since Dagster keeps it, and each entry is seen without a click."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg

from ticks_platform.defs.common.changes import CHANGED, spans_metadata
from ticks_platform.escaping import markdown, markdown_cell
from ticks_platform.ingestion.status import ALIVE_WITHIN
from ticks_platform.intervals import merge
from ticks_platform.pictures import small
from ticks_platform.pictures.candlesticks import Candlestick
from ticks_platform.timescale.candles.candles import Candle
from ticks_platform.timescale.candles.reports import Bar, CandleReport, FeedReport, NewestRows

CHARTS = 2
"""Symbols with a chart and a price that Dagster plots."""

ROWS = 8
"""Rows of a table: more would not be seen without a click."""

Metadata = dict[str, Any]


def of_candles(candle: Candle, report: CandleReport, now: float) -> Metadata:
    """Numbers for each symbol, and charts."""
    lag = max(0.0, now - (report.newest + candle.bucket).timestamp())
    metadata: Metadata = {
        f"chart of {symbol}": dg.MetadataValue.md(_chart(candle, symbol, bars))
        for symbol, bars in list(report.bars.items())[:CHARTS]
        if bars
    }
    metadata |= {
        "newest candles": dg.MetadataValue.md(_table(candle, report)),
        "symbols": report.symbols,
        "last bucket at": dg.MetadataValue.timestamp(report.newest),
        "lag in seconds": dg.MetadataValue.float(round(lag, 1)),
    }
    for symbol, bars in list(report.bars.items())[:CHARTS]:
        closes = [bar.close for bar in bars if bar.close is not None and math.isfinite(bar.close)]
        if closes:
            metadata[f"{symbol} close"] = dg.MetadataValue.float(closes[-1])
    return metadata


def changed(spans: Iterable[tuple[datetime, datetime]]) -> Metadata:
    """Which buckets a report is about, for `ticks_platform.changed_buckets`."""
    return {CHANGED: spans_metadata(merge(spans))}


def _chart(candle: Candle, symbol: str, bars: Sequence[Bar]) -> str:
    begin, end = bars[0].bucket, bars[-1].bucket + candle.bucket
    pattern = (
        "%b %d" if candle.bucket >= timedelta(days=1) else "%H:%M" if begin.date() == end.date() else "%b %d %H:%M"
    )
    label = f"{begin.astimezone(timezone.utc):{pattern}} to {end.astimezone(timezone.utc):{pattern}} UTC"
    candles, before = [], bars[0].bucket - candle.bucket
    for bar in bars:
        # A bucket without a candle is an empty place.
        missing = round((bar.bucket - before) / candle.bucket) - 1
        candles += [Candlestick(before, math.nan, math.nan, math.nan, math.nan)] * missing
        prices = [math.nan if price is None else price for price in (bar.open, bar.high, bar.low, bar.close)]
        candles.append(Candlestick(bar.bucket, *prices))
        before = bar.bucket
    return small.markdown(markdown(symbol)[:40], candles, label=label)


def _table(candle: Candle, report: CandleReport) -> str:
    pattern = "%m-%d" if candle.bucket >= timedelta(days=1) else "%H:%M"
    lines = ["| symbol | bucket (UTC) | close | high | low | ticks |", "|---|---|---:|---:|---:|---:|"]
    for symbol, bars in report.bars.items():
        if not bars:
            continue
        bar = bars[-1]
        prices = " | ".join("-" if price is None else f"{price:,.8g}" for price in (bar.close, bar.high, bar.low))
        bucket = f"{bar.bucket.astimezone(timezone.utc):{pattern}}"
        if report.closed is None or bar.bucket > report.closed:
            bucket += ", open"
        lines.append(f"| {markdown_cell(symbol)} | {bucket} | {prices} | {bar.ticks} |")
    return _fitting(lines)


def _fitting(lines: list[str]) -> str:
    """As many lines as are seen without a click."""
    kept = lines[:2]
    for line in lines[2:]:
        if sum(map(len, kept)) + len(kept) + len(line) > small.LONGEST:
            break
        kept.append(line)
    return "\n".join(kept)


def state_of(feed: FeedReport) -> str:
    """In a word or two, whether it streams."""
    if not feed.enabled:
        return "switched off"
    if feed.heartbeat_age is None:
        return "never ran"
    if feed.released or feed.heartbeat_age > ALIVE_WITHIN:
        return "not running"
    return feed.state or "starting"


def running_words(feeds: Sequence[FeedReport]) -> str:
    """Which feeds run, in a sentence."""
    running = [feed.feed for feed in feeds if state_of(feed) not in ("switched off", "never ran", "not running")]
    if not running:
        return "no feed is running"
    return f"{len(running)} of {len(feeds)} feeds {'runs' if len(running) == 1 else 'run'}"


def of_feeds(feeds: Sequence[FeedReport], rates: dict[str, float]) -> Metadata:
    """The feeds in a table, and in numbers that Dagster plots."""
    lines = ["| feed | state | ticks/s | lag | reconnects, 24 h | rejected |", "|---|---|---:|---:|---:|---:|"]
    metadata: Metadata = {}
    for feed in feeds:
        rate = rates.get(feed.feed)
        reconnects = max(0, feed.connections - 1)
        lag = "-" if feed.lag is None else f"{feed.lag:.2f} s"
        shown = "-" if rate is None else f"{rate:,.1f}"
        lines.append(
            f"| {markdown_cell(feed.feed)} | {state_of(feed)} | {shown} | {lag} | {reconnects} | {feed.rejected:,} |"
        )
    metadata["feeds"] = dg.MetadataValue.md(_fitting(lines))
    metadata["ticks loaded"] = sum(feed.loaded for feed in feeds)
    metadata["rejected events"] = sum(feed.rejected for feed in feeds)
    metadata["reconnects of the last day"] = sum(max(0, feed.connections - 1) for feed in feeds)
    if rates:
        metadata["ticks per second"] = dg.MetadataValue.float(round(sum(rates.values()), 1))
    lags = [feed.lag for feed in feeds if feed.lag is not None]
    if lags:
        metadata["lag in seconds"] = dg.MetadataValue.float(round(max(lags), 3))
    return metadata


def of_rows(found: NewestRows, now: float) -> Metadata:
    """The newest rows of a table, in numbers."""
    return {
        "newest row at": dg.MetadataValue.timestamp(found.at),
        "lag in seconds": dg.MetadataValue.float(round(max(0.0, now - found.at.timestamp()), 1)),
        "rows in its last 5 minutes": found.rows,
        "symbols in its last 5 minutes": found.symbols,
    }
