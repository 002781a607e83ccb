"""Binary COPY encoded by numpy: a batch of columns becomes PostgreSQL's wire format without a Python loop per row.

The format is that of the PostgreSQL manual, COPY, "Binary Format": a header, then for each row the number of fields and
for each field its length (-1 for NULL) and its bytes in network order, then a trailer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

_EPOCH_2000 = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01; this is that day in microseconds since the Unix epoch."""

_INT2_OID = 21
"""The type smallint in pg_type."""


class Column(NamedTuple):
    """A column of fixed width: values in their wire type (``>i8``, ``>f8``, ``V16``), and where they are NULL."""

    values: npt.NDArray[np.generic]
    null: npt.NDArray[np.bool_] | None = None


class TextColumn(NamedTuple):
    """A column of few different values by dictionary, such as text: row i holds ``words[codes[i]]``."""

    codes: npt.NDArray[np.intp]
    words: Sequence[bytes | None]


class FreeTextColumn(NamedTuple):
    """A column of text in which hardly any value comes twice: row i holds `lengths[i]` bytes of `data`, one row after
    the other.

    A length of -1 is NULL, and takes no bytes.
    """

    data: bytes
    lengths: npt.NDArray[np.int64]


class Null(NamedTuple):
    """A column that is NULL in all of its `rows`."""

    rows: int


def timestamptz(nanoseconds: npt.NDArray[np.int64]) -> Column:
    """A timestamptz column of nanoseconds since the Unix epoch; the database keeps microseconds."""
    return Column((nanoseconds // 1000 - _EPOCH_2000).astype(">i8"))


def float8(values: npt.NDArray[np.float64]) -> Column:
    """A double precision column; NaN stands for NULL."""
    null = np.isnan(values)
    return Column(values.astype(">f8"), null if null.any() else None)


def int2(values: npt.NDArray[np.float64]) -> Column:
    """A smallint column of whole numbers held as float64; NaN stands for NULL."""
    null = np.isnan(values)
    return Column(np.where(null, 0.0, values).astype(">i2"), null if null.any() else None)


def int2_array(numbers: Sequence[int]) -> bytes:
    """One value of a smallint[] column, in the form that array_recv of PostgreSQL's arrayfuncs.c reads.

    Raises struct.error if a number does not fit 16 bits.
    """
    if not numbers:
        return struct.pack(">iiI", 0, 0, _INT2_OID)
    head = struct.pack(">iiIii", 1, 0, _INT2_OID, len(numbers), 1)
    return head + b"".join(struct.pack(">ih", 2, number) for number in numbers)


def text(values: Sequence[str | None]) -> FreeTextColumn:
    """A text column of many different values."""
    if None in values:
        lengths = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
        values = [value or "" for value in values]
    else:
        lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    joined = "".join(values)  # type: ignore[arg-type]
    if joined.isascii():
        return FreeTextColumn(joined.encode(), lengths)
    encoded = [value.encode() for value in values]  # type: ignore[union-attr]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return FreeTextColumn(b"".join(encoded), np.where(lengths < 0, -1, sizes))


AnyColumn = Column | TextColumn | FreeTextColumn | Null


def encode(columns: Sequence[AnyColumn], order: npt.NDArray[np.intp] | None = None) -> bytes:
    """The batch as one binary COPY, its rows as they are or, given their indexes, in another order."""
    fields = [_field(column, order) for column in columns]
    count = _rows(columns[0])
    if not count:
        return _HEADER + _TRAILER
    blocks = list(_blocks(fields))
    widths = [block.widths for block in blocks]
    least = [width if isinstance(width, int) else int(width.min()) for width in widths]
    size: _Widths = sum(widths)
    if isinstance(size, int):
        return b"".join((_HEADER, blocks[0].records(count).tobytes(), _TRAILER))
    ends = np.cumsum(size)
    # A record of a value is as long as that of the longest one: what it has too much is written over by the fields
    # behind it, and for the last field by the next row, so that is written first.
    last = len(blocks) - 1
    out = np.empty(int(ends[-1]) + sum(least[:last]), np.uint8)
    blocks[last].write(out, ends - widths[last], room=sum(least[:last]))
    at = ends - size
    for place, block in enumerate(blocks[:last]):
        block.write(out, at, room=sum(least[place + 1 : last]))
        at = at + widths[place]
    return b"".join((_HEADER, out[: ends[-1]].data, _TRAILER))


_Widths = int | npt.NDArray[np.int64]
"""How many bytes something takes in each row; one number where it is the same in all."""

_MAX_PADDED = 256
"""Bytes of a record for values of different lengths. Of longer ones, those of one length are written together."""


class _Fixed(NamedTuple):
    """Consecutive fields that take the same number of bytes in all rows."""

    fields: list[tuple[int, npt.NDArray[np.generic] | bytes]]
    """The length of each, -1 for NULL, and its values in the wire type, or the one value of all."""
    is_first: bool
    """Whether the number of fields precedes them."""
    of: int
    """That number."""

    @property
    def widths(self) -> int:
        return 2 * self.is_first + sum(4 + max(length, 0) for length, _ in self.fields)

    def records(self, count: int) -> npt.NDArray[np.void]:
        names: list[tuple[str, str]] = [("count", ">i2")] if self.is_first else []
        for number, (length, values) in enumerate(self.fields):
            names.append((f"length{number}", ">i4"))
            if length > 0:
                names.append((f"value{number}", f"V{length}" if isinstance(values, bytes) else values.dtype.str))
        records = np.empty(count, dtype=np.dtype(names))
        if self.is_first:
            records["count"] = self.of
        for number, (length, values) in enumerate(self.fields):
            records[f"length{number}"] = length
            if length > 0:
                records[f"value{number}"] = np.void(values) if isinstance(values, bytes) else values
        return records

    def write(self, out: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], *, room: int) -> None:
        """Write the fields of each row to these places."""
        width = self.widths
        _pieces(out.data, width)[at] = self.records(len(at)).view(f"V{width}")


class _Varying(NamedTuple):
    """A field that takes different numbers of bytes: `lengths[i]` of `data` from `begins[i]`, -1 for NULL."""

    data: bytes
    begins: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    codes: npt.NDArray[np.intp] | None = None
    """If given, row i has the value `codes[i]` of these, else value i."""

    @property
    def widths(self) -> npt.NDArray[np.int64]:
        widths = 4 + np.maximum(self.lengths, 0)
        return widths if self.codes is None else widths[self.codes]

    def records(self, width: int) -> npt.NDArray[np.void]:
        """Length and value of each row, and what follows the value in `data` up to this width."""
        records = np.empty(len(self.lengths), dtype=np.dtype([("length", ">i4"), ("value", f"V{width}")]))
        records["length"] = self.lengths
        records["value"] = _pieces(self.data + bytes(width), width)[self.begins]
        of_values = records.view(f"V{4 + width}")
        return of_values if self.codes is None else of_values[self.codes]

    def write(self, out: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], *, room: int) -> None:
        """Write the field of each row to these places, and up to `room` bytes behind it."""
        longest, shortest = int(self.lengths.max()), max(int(self.lengths.min()), 0)
        if 0 < longest <= _MAX_PADDED and longest - shortest <= room:
            _pieces(out.data, 4 + longest)[at] = self.records(longest)
            return
        lengths, begins = self.lengths, self.begins
        if self.codes is not None:
            lengths, begins = lengths[self.codes], begins[self.codes]
        _pieces(out.data, 4)[at] = lengths.astype(">i4").view("V4")
        order = np.argsort(lengths, kind="stable")
        distinct, firsts = np.unique(lengths[order], return_index=True)
        for length, rows in zip(distinct.tolist(), np.split(order, firsts[1:]), strict=True):
            if length > 0:
                _pieces(out.data, length)[at[rows] + 4] = _pieces(self.data, length)[begins[rows]]


def _blocks(fields: Sequence[tuple[int, npt.NDArray[np.generic] | bytes] | _Varying]) -> Iterator[_Fixed | _Varying]:
    """Fields as they are written: those of fixed widths that follow each other at once. The first block is fixed."""
    fixed = _Fixed([], True, len(fields))
    for field in fields:
        if isinstance(field, _Varying):
            if fixed.widths:
                yield fixed
            yield field
            fixed = _Fixed([], False, 0)
        else:
            fixed.fields.append(field)
    if fixed.widths:
        yield fixed


def _field(
    column: AnyColumn, order: npt.NDArray[np.intp] | None
) -> tuple[int, npt.NDArray[np.generic] | bytes] | _Varying:
    """A column with the lengths of its values."""
    if isinstance(column, Null):
        return -1, b""
    if isinstance(column, Column):
        values, null = column if order is None else (column.values[order], _ordered(column.null, order))
        size = values.dtype.itemsize
        if null is None or not null.any():
            return size, values
        return _Varying(values.tobytes(), np.arange(len(values)) * size, np.where(null, -1, size))
    if isinstance(column, FreeTextColumn):
        return _Varying(column.data, _begins(column.lengths), column.lengths, order)
    if len(column.words) == 1:
        word = column.words[0]
        return (-1, b"") if word is None else (len(word), word)
    lengths = np.array([-1 if word is None else len(word) for word in column.words], dtype=np.int64)
    codes = column.codes if order is None else column.codes[order]
    return _Varying(b"".join(word or b"" for word in column.words), _begins(lengths), lengths, codes)


def _ordered(null: npt.NDArray[np.bool_] | None, order: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_] | None:
    return None if null is None else null[order]


def _rows(column: AnyColumn) -> int:
    if isinstance(column, Null):
        return column.rows
    return len(column.lengths if isinstance(column, FreeTextColumn) else column[0])


def _begins(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each value begins in bytes that hold one after the other."""
    taken = np.maximum(lengths, 0)
    return np.cumsum(taken) - taken


def _pieces(data: bytes | memoryview, length: int) -> npt.NDArray[np.void]:
    """All pieces of this length, by their beginnings. Overlapping views: one long value makes no other one longer."""
    return np.ndarray((len(data) - length + 1,), dtype=f"V{length}", buffer=data, strides=(1,))
