"""Reads a Parquet file as if it were one of CSV, by row groups: some thousand rows are in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ticks_platform.errors import ActionRequiredError
from ticks_platform.feeds.files import FileHeader
from ticks_platform.ingestion.imports.file_frames import FileError, Frames
from ticks_platform.ingestion.journal.file import FrameGroup

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1000
"""In one frame: about as many as lines of a file of CSV."""

_READ_ROWS = 16 * _ROWS

POSITIONS = 4
"""Of a row: more events than one makes."""


class ParquetFrames(Frames):
    """The rows of a Parquet file. Positions are rows, times `POSITIONS`."""

    def __init__(
        self,
        path: Path,
        *,
        journal_id: str,
        header: FileHeader,
        first: int,
        position: int,
        epoch: int,
        now: Callable[[], int],
    ) -> None:
        """Columns of the header without a name are not read. Raises FileError."""
        super().__init__(journal_id=journal_id, header=header, epoch=epoch, now=now)
        self._path = path
        self._first, self._begin = first, (position - first) // POSITIONS
        self._file = open_file(path)
        self._rows_read = 0

    @property
    def bytes_read(self) -> int:
        rows = self._file.metadata.num_rows
        return self._path.stat().st_size * self._rows_read // rows if rows else 0

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[FrameGroup]:
        import pyarrow as pa

        names = self._file.schema_arrow.names
        columns = [name for name, field in zip(names, self._header.columns, strict=True) if field]
        row = 0
        try:
            for number in range(self._file.num_row_groups):
                rows = self._file.metadata.row_group(number).num_rows
                if row + rows <= self._begin:
                    row += rows
                    continue
                for batch in self._file.iter_batches(_READ_ROWS, row_groups=[number], columns=columns):
                    table = pa.Table.from_batches([batch])
                    skipped = min(max(self._begin - row, 0), len(table))
                    for at in range(skipped, len(table), _ROWS):
                        part = table.slice(at, _ROWS)
                        begin = self._first + (row + at) * POSITIONS
                        yield self._group(
                            begin, begin + len(part) * POSITIONS, row + at + 1, _lines(part, names, columns)
                        )
                    row += len(table)
                    self._rows_read = row
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self._path} cannot be read, its rows up to there are loaded: {error}") from error


def open_file(path: Path) -> pq.ParquetFile:
    """Open a file of Parquet. Raises FileError, and ActionRequiredError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ActionRequiredError(
            "files of Parquet are read by pyarrow, which is not installed: pip install 'ticks_platform[arrow]'"
        ) from None
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"{path} is no file of Parquet: {error}") from error


def times_of(path: Path, schema: pa.Schema, column: str, times: str) -> str:
    """What the times of a column are. Raises FileError."""
    import pyarrow as pa

    kind = schema.field(column).type
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_timestamp(values):
        return "ns"
    if times == "iso" and not _is_text(values):
        raise FileError(f"{path}: {column} is of type {kind}; say what its times are, as in --times ms")
    return times


def _lines(table: pa.Table, names: list[str], columns: list[str]) -> bytes:
    """The rows as lines of CSV, in which columns that are not read are empty."""
    import pyarrow as pa
    from pyarrow import csv

    read = dict(zip(columns, map(_plain, table.columns), strict=True))
    nothing = pa.nulls(len(table), pa.int64())
    written = pa.table([read.get(name, nothing) for name in names], names=[str(each) for each in range(len(names))])
    out = io.BytesIO()
    csv.write_csv(written, out, csv.WriteOptions(include_header=False))
    return out.getvalue()


def _plain(column: Any) -> Any:
    """A column of numbers or texts, as CSV has them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(pc.cast(column, kind.value_type))
    if pa.types.is_timestamp(kind):
        return _nanoseconds(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _joined(pc.cast(column, pa.list_(pa.string())))
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    if pa.types.is_decimal(kind):
        return pc.cast(column, pa.string())
    if _is_text(kind):
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            column = pc.cast(column, pa.large_string())
        # A line is a row.
        return pc.replace_substring_regex(column, "[\\r\\n]", " ")
    return column


def _joined(column: Any) -> Any:
    """Lists of texts, each as one with commas. Where one of several is NULL, the others are left."""
    import pyarrow as pa
    import pyarrow.compute as pc

    joined = pc.binary_join(column, ",")
    if joined.null_count == column.null_count:
        return joined
    lists = column.to_pylist()
    return pa.array([each and ",".join(one for one in each if one is not None) for each in lists], pa.string())


def _is_text(kind: Any) -> bool:
    """Whether values of a type are texts; some writers do not say that their bytes are."""
    import pyarrow as pa

    types = pa.types
    is_any = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return any(is_one(kind) for is_one in is_any)


def _nanoseconds(column: Any) -> Any:
    """Times since 1970; none for those that 64 bits do not hold, such as the year 9999, which only their rows lack."""
    import pyarrow as pa
    import pyarrow.compute as pc

    factor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
    numbers, limit = pc.cast(column, pa.int64()), (2**63 - 1) // factor
    holds = pc.and_(pc.less_equal(numbers, limit), pc.greater_equal(numbers, -limit))
    return pc.multiply(pc.if_else(holds, numbers, pa.scalar(None, pa.int64())), factor)
