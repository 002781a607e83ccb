"""The formats of files of past data, by name."""

from __future__ import annotations

from functools import cache

from ticks_platform.feeds.csv_rows import CsvRows
from ticks_platform.feeds.files import FileFormat, RowDecoder, format_of
from ticks_platform.feeds.polygon.flat_file import FlatFile

POLYGON, CSV, PARQUET = "polygon-flat-file", "csv", "parquet"

_FORMATS: dict[str, type[FileFormat]] = {POLYGON: FlatFile, CSV: CsvRows}

NAMES = (*_FORMATS, PARQUET)
"""What files may be. The rows of Parquet are read as those of one of the others."""


@cache
def decoder(name: str) -> RowDecoder:
    """The decoder of a format's frames."""
    return RowDecoder(_FORMATS[name]())


def decoder_of(frame: bytes) -> RowDecoder | None:
    """The decoder of these bytes, if they are a frame of a file; else None."""
    name = format_of(frame)
    return decoder(name) if name in _FORMATS else None
