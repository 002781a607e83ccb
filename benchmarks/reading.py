"""`reading`: candles of many symbols as a DataFrame, against `pandas.read_sql` of the same statement."""

from __future__ import annotations

import resource
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmarks.children import child
from benchmarks.report import Report, interleaved, middle, ratio, table
from benchmarks.workbench import Workbench
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.candles.candles import ONE_DAY

_DAYS = 21
"""Trading days of a month."""
_MINUTES = 390
"""Of a trading day of US stocks."""
_SYMBOLS = 500
_BEGIN, _END = "2026-01-01", "2026-02-01"
_PEER = "pandas.read_sql"

# Right into what is materialized, as a refresh of ticks would write it.
_CANDLES = """
INSERT INTO {table} (bucket, symbol, open, high, low, close, volume, tick_count, price_count, first_time, last_time)
SELECT bucket, 'S' || symbol, price, price + 1, price - 1, price + 0.5, volume, 10, 10, bucket, bucket
FROM generate_series(0, %s) AS day
CROSS JOIN generate_series(0, %s) AS minute
CROSS JOIN LATERAL (SELECT %s::timestamptz + make_interval(days => day, hours => 14, mins => minute) AS bucket) AS at
CROSS JOIN generate_series(1, %s) AS symbol
CROSS JOIN LATERAL (SELECT 100 + random() AS price, (random() * 1000)::int AS volume WHERE symbol > 0) AS made
"""

_STATEMENT = f"""
SELECT bucket, symbol, open, high, low, close, volume, day_volume, tick_count, price_count
FROM one_minute_candle
WHERE bucket >= '{_BEGIN}' AND bucket < '{_END}'
ORDER BY bucket, symbol
"""  # noqa: S608  (dates of ours)


class _Read(NamedTuple):
    rows: int
    seconds: float
    peak: float
    """Bytes that the process grew by at most."""
    size: float
    """Bytes of the frame."""


def run(workbench: Workbench, report: Report, *, rows: int, repeats: int) -> None:
    """Read candles in processes of their own, in turn."""
    symbols = max(min(_SYMBOLS, rows // (_DAYS * _MINUTES)), 1)
    _fill(workbench, symbols)
    reads: dict[str, list[_Read]] = {}

    def reader(way: str) -> float:
        with child(_read, workbench.url, way) as process:
            read: _Read = process.answer()
        reads.setdefault(way, []).append(read)
        if read.rows != symbols * _DAYS * _MINUTES:
            raise RuntimeError(f"{way} read {read.rows} candles of {symbols * _DAYS * _MINUTES}")
        return read.rows / read.seconds

    samples = interleaved({way: lambda way=way: reader(way) for way in (_PEER, "pandas", "arrow", "polars")}, repeats)  # type: ignore[misc]
    lines = []
    for way, rates in samples.items():
        name = way if way == _PEER else f'candles(to="{way}")'
        size = middle([read.size for read in reads[way]])
        grown = middle([read.peak / read.size for read in reads[way]])
        report.add("reading", name, middle(rates), "rows/s", rates)
        report.add("reading", f"{name}: peak of memory / frame", grown, "ratio")
        against = ratio(rates, samples[_PEER])
        lines.append([name, f"{middle(rates):,.0f}", f"{against:.2f} x", f"{size / 2**20:,.0f} MB", f"{grown:.1f} x"])
    title = f"{symbols * _DAYS * _MINUTES:,} candles of {symbols} symbols as a frame (medians of {repeats})"
    table(title, ["", "rows/s", f"of {_PEER}'s", "frame", "peak of memory"], lines)


def _fill(workbench: Workbench, symbols: int) -> None:
    workbench.empty()
    with workbench.database.autocommit() as cursor:
        cursor.execute(sql_files.read(ONE_DAY.file))  # names the symbols
        cursor.execute("TRUNCATE one_minute_candle")
        cursor.execute(
            "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) "
            "FROM timescaledb_information.continuous_aggregates WHERE view_name = 'one_minute_candle'"
        )
        (materialized,) = cursor.fetchone() or ("",)
        cursor.execute(_CANDLES.format(table=materialized), (_DAYS - 1, _MINUTES - 1, _BEGIN, symbols))
        # Up to here all is materialized.
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price) VALUES (now() - INTERVAL '1 minute', 'S1', 1)"
        )
        cursor.execute("CALL refresh_continuous_aggregate('one_minute_candle', now() - INTERVAL '1 hour', NULL)")
        for longer in ("one_hour_candle", "one_day_candle"):
            cursor.execute(f"CALL refresh_continuous_aggregate('{longer}', NULL, NULL)")
        cursor.execute(f"ANALYZE {materialized}")


def _read(pipe: Connection, url: str, way: str) -> None:
    import pandas as pd
    import sqlalchemy as sa

    import ticks_platform

    # Imports, and what the first statement of a process costs.
    ticks_platform.candles("S1", end=_BEGIN, to="pandas" if way == _PEER else way, database=url)  # type: ignore[arg-type]
    before, began = _peak(), time.perf_counter()
    found: Any
    if way == _PEER:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))
        found = pd.read_sql(_STATEMENT, engine, index_col="bucket")
    else:
        found = ticks_platform.candles(start=_BEGIN, end=_END, to=way, database=url)  # type: ignore[arg-type]
    took = time.perf_counter() - began
    size = {"arrow": lambda: found.nbytes, "polars": lambda: found.estimated_size()}.get(
        way, lambda: found.memory_usage(deep=True).sum()
    )()
    pipe.send(_Read(len(found), took, (_peak() - before) * 1024, float(size)))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
