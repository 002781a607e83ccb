"""Binary COPY encoded by numpy: a batch of columns becomes PostgreSQL's wire format without a Python loop per row.

The format is that of the PostgreSQL manual, COPY, "Binary Format": a header, then for each row the number of fields and
for each field its length (-1 for NULL) and its bytes in network order, then a trailer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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


def encode(columns: Sequence[AnyColumn]) -> bytes:
    """The batch as one binary COPY. Rows of one layout come together: the order of the rows is not kept."""
    layouts, rows_of = _group_by_layout(columns)
    parts = [_HEADER]
    for layout, rows in zip(layouts, rows_of, strict=True):
        parts.append(_encode_group(columns, layout, rows))
    parts.append(_TRAILER)
    return b"".join(parts)


def _group_by_layout(
    columns: Sequence[AnyColumn],
) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[np.intp] | slice]]:
    """Rows of the same field lengths share a fixed-width record; tell the layouts apart and say which rows have which.

    A layout is, for each column in turn, its length in bytes, or -1 where it is NULL.
    """
    count = _rows(columns[0])
    if not count:
        return np.empty((0, len(columns)), np.int64), []
    key = np.zeros(count, dtype=np.int64)
    kinds = 1
    layout_of_first = np.empty(len(columns), np.int64)
    varying: list[tuple[int, npt.NDArray[np.int64]]] = []
    for number, column in enumerate(columns):
        lengths = _lengths(column)
        layout_of_first[number] = lengths if isinstance(lengths, int) else lengths[0]
        if isinstance(lengths, int):
            continue
        varying.append((number, lengths))
        rank, distinct = _ranks(lengths)
        key = key * distinct + rank
        kinds *= distinct
        if kinds > 1 << 15:
            # Ranks of the ranks keep the key small, whatever the lengths are and however many columns vary.
            key, kinds = _ranks(key)
    if not varying:
        return layout_of_first[None, :], [slice(None)]
    rank, kinds = _ranks(key)
    # Small numbers are sorted by radix, which takes no comparisons.
    order = np.argsort(rank.astype(np.uint16) if kinds <= 1 << 16 else rank, kind="stable")
    borders = np.cumsum(np.bincount(rank, minlength=kinds))[:-1]
    rows_of = np.split(order, borders)
    layouts = np.repeat(layout_of_first[None, :], kinds, axis=0)
    for number, lengths in varying:
        layouts[:, number] = lengths[[rows[0] for rows in rows_of]]
    return layouts, list(rows_of)


def _lengths(column: AnyColumn) -> npt.NDArray[np.int64] | int:
    """How many bytes each value takes, -1 for NULL; one number where it is the same in all rows."""
    if isinstance(column, Null):
        return -1
    if isinstance(column, Column):
        size = column.values.dtype.itemsize
        return size if column.null is None else _one_or_all(np.where(column.null, -1, size))
    if isinstance(column, FreeTextColumn):
        return _one_or_all(column.lengths)
    of_words = _one_or_all(np.array([-1 if word is None else len(word) for word in column.words], dtype=np.int64))
    return of_words if isinstance(of_words, int) else _one_or_all(of_words[column.codes])


def _one_or_all(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | int:
    first = int(lengths[0])
    return first if (lengths == first).all() else lengths


def _ranks(numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """The rank of each number among the different ones, and how many of those there are."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low < 1 << 16:
        taken = np.zeros(high - low + 1, np.int64)
        taken[numbers - low] = 1
        return (np.cumsum(taken) - 1)[numbers - low], int(taken.sum())
    distinct, rank = np.unique(numbers, return_inverse=True)
    return rank.astype(np.int64), len(distinct)


def _encode_group(
    columns: Sequence[AnyColumn], layout: npt.NDArray[np.int64], rows: npt.NDArray[np.intp] | slice
) -> bytes:
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for number, (column, length) in enumerate(zip(columns, layout.tolist(), strict=True)):
        fields.append((f"length{number}", ">i4"))
        if length > 0:
            wire = column.values.dtype.str if isinstance(column, Column) else f"V{length}"
            fields.append((f"value{number}", wire))
    size = _rows(columns[0]) if isinstance(rows, slice) else len(rows)
    records = np.empty(size, dtype=np.dtype(fields))
    records["count"] = len(columns)
    for number, (column, length) in enumerate(zip(columns, layout.tolist(), strict=True)):
        records[f"length{number}"] = length
        if length <= 0:
            continue
        assert not isinstance(column, Null)
        if isinstance(column, TextColumn):
            words = [word or b"" for word in column.words]
            begins = _begins(np.fromiter(map(len, words), np.int64, len(words)))
            records[f"value{number}"] = _pieces(b"".join(words), length)[begins[column.codes[rows]]]
        elif isinstance(column, FreeTextColumn):
            records[f"value{number}"] = _pieces(column.data, length)[_begins(column.lengths)[rows]]
        else:
            records[f"value{number}"] = column.values[rows]
    return records.tobytes()


def _rows(column: AnyColumn) -> int:
    if isinstance(column, Null):
        return column.rows
    return len(column.lengths if isinstance(column, FreeTextColumn) else column[0])


def _begins(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each value begins in bytes that hold one after the other."""
    taken = np.maximum(lengths, 0)
    return np.cumsum(taken) - taken


def _pieces(data: bytes, length: int) -> npt.NDArray[np.void]:
    """All pieces of this length, by their beginnings. Overlapping views: one long value makes no other one longer."""
    return np.ndarray((len(data) - length + 1,), dtype=f"V{length}", buffer=data, strides=(1,))
