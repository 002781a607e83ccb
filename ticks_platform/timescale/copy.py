"""Binary COPY encoded by numpy: a batch of columns becomes PostgreSQL's wire format without a Python loop per row.

The format is that of the PostgreSQL manual, COPY, "Binary Format": a header, then for each row the number of fields and
for each field its length (-1 for NULL) and its bytes in network order, then a trailer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

_EPOCH_2000 = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01; this is that day in microseconds since the Unix epoch."""


class Column(NamedTuple):
    """A column of fixed width: values in their wire type (``>i8``, ``>f8``, ``V16``), and where they are NULL."""

    values: npt.NDArray[np.generic]
    null: npt.NDArray[np.bool_] | None = None


class TextColumn(NamedTuple):
    """A column of text by dictionary: row i holds ``words[codes[i]]``."""

    codes: npt.NDArray[np.intp]
    words: Sequence[bytes | None]


class FreeTextColumn(NamedTuple):
    """A column of text in which hardly any value comes twice: row i holds `lengths[i]` bytes of `data`, one row after
    the other.

    A length of -1 is NULL, and takes no bytes.
    """

    data: bytes
    lengths: npt.NDArray[np.int64]


def timestamptz(nanoseconds: npt.NDArray[np.int64]) -> Column:
    """A timestamptz column of nanoseconds since the Unix epoch; the database keeps microseconds."""
    return Column((nanoseconds // 1000 - _EPOCH_2000).astype(">i8"))


def float8(values: npt.NDArray[np.float64]) -> Column:
    """A double precision column; NaN stands for NULL."""
    null = np.isnan(values)
    return Column(values.astype(">f8"), null if null.any() else None)


def int8(values: npt.NDArray[np.float64]) -> Column:
    """A bigint column of whole numbers held as float64 (exact up to 2^53); NaN stands for NULL."""
    null = np.isnan(values)
    if not null.any():
        return Column(values.astype(">i8"))
    return Column(np.where(null, 0.0, values).astype(">i8"), null)


def text(values: Sequence[str | None]) -> TextColumn | FreeTextColumn:
    """A text column of many different values."""
    if not values or (values[0] is None and values.count(None) == len(values)):
        return TextColumn(np.zeros(len(values), np.intp), [None])
    encoded = [b"" if value is None else value.encode() for value in values]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    if None in values:
        lengths[np.fromiter((value is None for value in values), np.bool_, len(values))] = -1
    return FreeTextColumn(b"".join(encoded), lengths)


AnyColumn = Column | TextColumn | FreeTextColumn


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
    lengths = np.empty((len(columns), count), dtype=np.int64)
    varying = []
    for number, column in enumerate(columns):
        if isinstance(column, TextColumn):
            word_lengths = np.array([-1 if word is None else len(word) for word in column.words], dtype=np.int64)
            lengths[number] = word_lengths[column.codes]
            if len(set(word_lengths.tolist())) > 1:
                varying.append(number)
        elif isinstance(column, FreeTextColumn):
            lengths[number] = column.lengths
            if count and column.lengths.min() != column.lengths.max():
                varying.append(number)
        elif column.null is None:
            lengths[number] = column.values.dtype.itemsize
        else:
            lengths[number] = np.where(column.null, -1, column.values.dtype.itemsize)
            # A field that the provider never sends is NULL in all rows, which sorts none of them apart.
            if not column.null.all():
                varying.append(number)
    if not varying or not count:
        return lengths[:, :1].T, [slice(None)] if count else []
    key = np.zeros(count, dtype=np.int64)
    for number in varying:
        # Ranks keep the key small whatever the lengths are, so that no number of columns overflows it in practice.
        distinct, rank = np.unique(lengths[number], return_inverse=True)
        key = key * len(distinct) + rank
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    borders = np.searchsorted(group[order], np.arange(1, len(first)))
    return lengths[:, first].T, list(np.split(order, borders))


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
    return len(column.lengths if isinstance(column, FreeTextColumn) else column[0])


def _begins(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each value begins in bytes that hold one after the other."""
    taken = np.maximum(lengths, 0)
    return np.cumsum(taken) - taken


def _pieces(data: bytes, length: int) -> npt.NDArray[np.void]:
    """All pieces of this length, by their beginnings. Overlapping views: one long value makes no other one longer."""
    return np.ndarray((len(data) - length + 1,), dtype=f"V{length}", buffer=data, strides=(1,))
