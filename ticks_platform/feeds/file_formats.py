"""The formats of files of past data, by name."""

from __future__ import annotations

from functools import cache

from ticks_platform.feeds.csv_rows import CsvRows
from ticks_platform.feeds.files import FileFormat, RowDecoder, format_of
from ticks_platform.feeds.polygon.flat_file import FlatFile

POLYGON, CSV = "polygon-flat-file", "csv"

_FORMATS: dict[str, type[FileFormat]] = {POLYGON: FlatFile, CSV: CsvRows}

NAMES = tuple(_FORMATS)


@cache
def decoder(name: str) -> RowDecoder:
    """The decoder of a format's frames."""
    return RowDecoder(_FORMATS[name]())


def decoder_of(frame: bytes) -> RowDecoder | None:
    """The decoder of these bytes, if they are a frame of a file; else None."""
    name = format_of(frame)
    return decoder(name) if name in _FORMATS else None
