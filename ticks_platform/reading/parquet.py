"""Candles and ticks as files of Parquet, by day and symbol."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ticks_platform.reading.arguments import Every, Moment, Symbols
from ticks_platform.reading.candle_rows import candle_result
from ticks_platform.reading.results import arrow_tables, required
from ticks_platform.reading.rows import tick_result
from ticks_platform.reading.source import From, Source

if TYPE_CHECKING:
    import pyarrow as pa

_OPEN_FILES = 256


def export(
    kind: Literal["candles", "ticks"],
    folder: Path,
    *,
    symbols: Symbols = None,
    every: Every = "1m",
    start: Moment = None,
    end: Moment = None,
    database: From = None,
) -> int:
    """Write rows to ``folder/day=2026-01-05/symbol=AAPL/part-0.parquet``, and return their number.

    The columns are those of `candles` and `ticks`; the day is that of UTC, of a trading day the exchange's date. Files
    of a day and symbol that are written again are replaced, others stay. Rows stream: memory does not grow with them.

    Raises the errors of `candles` and `ticks`, and OSError.
    """
    required("pyarrow", "arrow")
    import pyarrow as pa
    import pyarrow.dataset

    source = Source(database)
    if kind == "candles":
        result = candle_result(source, symbols, every, start, end, "UTC")
    else:
        result = tick_result(source, symbols, start, end, "UTC")
    # Rows of a file come one after the other, or as many files would be open as there are symbols.
    result = dataclasses.replace(result, order=("symbol", *result.order), ordered_here_by=None)
    day = "session" if "session" in result.columns else next(iter(result.columns))
    tables = (_with_day(pa, table, day) for table in arrow_tables(source, result, "UTC"))
    first = next(tables)
    written = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal written
        for table in itertools.chain((first,), tables):
            written += table.num_rows
            yield from table.to_batches()

    pyarrow.dataset.write_dataset(
        batches(),
        folder,
        schema=first.schema,
        format="parquet",
        partitioning=pyarrow.dataset.partitioning(
            pa.schema([("day", pa.date32()), ("symbol", pa.string())]), flavor="hive"
        ),
        basename_template="part-{i}.parquet",
        existing_data_behavior="delete_matching",
        max_open_files=_OPEN_FILES,
        max_partitions=1 << 20,
    )
    return written


def _with_day(pa: Any, table: Any, column: str) -> Any:
    place = table.column_names.index("symbol")
    table = table.set_column(place, "symbol", table.column("symbol").cast(pa.string()))
    return table.append_column("day", table.column(column).cast(pa.date32()))
