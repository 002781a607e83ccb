"""Ticks by column: many frames decoded at once, without an object or a Python loop for each tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import Event, Tick

_T = TypeVar("_T")

Floats = npt.NDArray[np.float64]

_NUMBERS = ("day_volume", "size", "bid", "ask", "updates")
_OBJECTS = ("exchange", "trade_id", "conditions", "malformed")


@dataclass(frozen=True, slots=True)
class TickColumns:
    """The fields of `Tick` as columns of one length, in the order of the ticks.

    A missing value is NaN or None; a column is None if no tick has a value. `Coded` columns are the cheaper ones where
    few values are different.
    """

    symbol: list[str] | Coded
    time: npt.NDArray[np.int64]
    price: Floats
    day_volume: Floats | None = None
    size: Floats | None = None
    bid: Floats | None = None
    ask: Floats | None = None
    exchange: list[str | None] | Coded | None = None
    trade_id: list[str | None] | None = None
    updates: Floats | None = None
    """The bits as whole numbers."""
    conditions: list[tuple[int, ...] | None] | Coded | None = None
    malformed: list[tuple[str, ...] | None] | None = None

    @classmethod
    def of(cls, ticks: Sequence[Tick]) -> TickColumns:
        """Columns of these ticks. Raises OverflowError, TypeError or ValueError if a value does not fit its column."""
        columns = {field: list(map(attrgetter(field), ticks)) for field in Tick.__struct_fields__}
        optional: dict[str, Any] = {field: floats(columns[field]) for field in _NUMBERS}
        optional |= {field: texts(columns[field]) for field in _OBJECTS}
        return cls(
            columns["symbol"], np.array(columns["time"], np.int64), np.array(columns["price"], np.float64), **optional
        )

    @classmethod
    def joined(cls, parts: Sequence[TickColumns]) -> TickColumns:
        """The parts, concatenated."""
        if len(parts) == 1:
            return parts[0]
        optional: dict[str, Any] = {}
        for fields, join in ((_NUMBERS, _joined_floats), (_OBJECTS, _joined_objects)):
            for field in fields:
                optional[field] = join([(getattr(part, field), len(part)) for part in parts])
        return cls(
            _joined_objects([(part.symbol, len(part)) for part in parts]) or [],
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.price for part in parts]),
            **optional,
        )

    def __len__(self) -> int:
        return len(self.symbol)

    def part(self, begin: int, end: int) -> TickColumns:
        """The ticks from `begin` up to, but without, `end`."""
        return self._of_columns(lambda column: column[begin:end])

    def where(self, kept: npt.NDArray[np.bool_]) -> TickColumns:
        """The ticks for which `kept` is true."""
        chosen = kept.tolist()

        def of(column: Any) -> Any:
            if isinstance(column, np.ndarray):
                return column[kept]
            return column.where(kept) if isinstance(column, Coded) else list(compress(column, chosen))

        return self._of_columns(of)

    def ticks(self) -> list[Tick]:
        """The ticks, one by one."""
        nothing = [None] * len(self)
        columns = [
            nothing if column is None else column.tolist() if isinstance(column, np.ndarray) else column
            for column in self._columns()
        ]
        if self.updates is not None:
            place = Tick.__struct_fields__.index("updates")
            columns[place] = [None if bits != bits else int(bits) for bits in self.updates.tolist()]
        rows: list[list[Any]] = [
            [None if value != value else value for value in row] for row in zip(*columns, strict=True)
        ]
        return [Tick(*row) for row in rows]

    def _of_columns(self, change: Callable[[Any], Any]) -> TickColumns:
        columns: list[Any] = [None if column is None else change(column) for column in self._columns()]
        return TickColumns(*columns)

    def _columns(self) -> list[Any]:
        return [getattr(self, field) for field in Tick.__struct_fields__]


class Decoded(NamedTuple):
    """The events of several frames."""

    events: TickColumns | list[Event]
    """Columns if all events are ticks, else a list."""
    counts: Sequence[int]
    """The number of events in each frame."""


def decode_lines(decode: Callable[[bytes], list[Any]], frames: Sequence[bytes]) -> list[Any] | None:
    """Decode frames of one JSON value each, in one call of a msgspec decoder's `decode_lines`.

    Returns one value per frame; None if a frame is not exactly one value of the decoder's type.
    """
    lines = b"\n".join(frames)
    # A frame that contains a line break could be two values, or part of one; an empty one beside one of two would
    # shift all between them. Where each begins and ends as a value does, none goes over the end of its frame.
    boundaries = len(frames) - 1
    if lines.count(b"\n") != boundaries or lines.count(b"}\n{") + lines.count(b"]\n[") != boundaries:
        return None
    if lines[:1] not in (b"{", b"[") or lines[-1:] not in (b"}", b"]"):
        return None
    try:
        values = decode(lines)
    except UNDECODABLE:
        return None
    return values if len(values) == len(frames) else None


def floats(values: Sequence[float | None]) -> Floats | None:
    """A column of numbers, with NaN for None; None if all are None."""
    # numpy is slow with a column of None only.
    if (not values or values[0] is None) and values.count(None) == len(values):
        return None
    return np.array(values, np.float64)


def texts(values: list[_T | None]) -> list[_T | None] | None:
    """A column of texts or tuples; None if all are None."""
    return None if (not values or values[0] is None) and values.count(None) == len(values) else values


def _joined_floats(parts: Sequence[tuple[Floats | None, int]]) -> Floats | None:
    if all(column is None for column, _ in parts):
        return None
    return np.concatenate([np.full(length, np.nan) if column is None else column for column, length in parts])


def _joined_objects(parts: Sequence[tuple[list[Any] | Coded | None, int]]) -> list[Any] | Coded | None:
    columns = [column for column, _ in parts if column is not None]
    if not columns:
        return None
    if all(isinstance(column, Coded) for column in columns):
        return Coded.joined([column if isinstance(column, Coded) else _nothing(length) for column, length in parts])
    return list(chain.from_iterable([None] * length if column is None else column for column, length in parts))


def _nothing(length: int) -> Coded:
    return Coded(np.zeros(length, np.intp), [None])
