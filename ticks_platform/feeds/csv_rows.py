"""Rows of CSV files of anybody's, whose columns the user names: ticks, quotes, or bars of a minute."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import TickColumns, texts
from ticks_platform.feeds.events import Bar, Event, Quote, Rejected, Tick
from ticks_platform.feeds.files import FileFormat, FileHeader, Kind, named, required
from ticks_platform.feeds.plain_rows import PlainRows
from ticks_platform.timestamps import MINUTE, to_nanoseconds

FIELDS_OF: dict[Kind, tuple[str, ...]] = {
    "trades": (*("time", "symbol", "price", "size", "exchange", "trade_id", "conditions", "bid", "ask", "day_volume"),),
    "quotes": ("time", "symbol", "bid", "bid_size", "ask", "ask_size", "exchange"),
    "bars": ("time", "symbol", "open", "high", "low", "close", "volume", "average_price"),
}
"""What a column may be. The time of a bar is the begin of its minute."""

FIELDS = tuple(dict.fromkeys(chain.from_iterable(FIELDS_OF.values())))

REQUIRED_OF: dict[Kind, tuple[str, ...]] = {
    "trades": ("time", "symbol", "price"),
    "quotes": ("time", "symbol", "bid", "ask"),
    "bars": ("time", "symbol", "open", "high", "low", "close"),
}
"""Columns that a file has."""

TIMES = ("iso", "s", "ms", "us", "ns")
"""What times may be: ISO 8601, UTC where it has no offset, or a number since the Unix epoch."""

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+)(?:\.(\d*))?", re.ASCII)
_LATEST = 2**63 - 1
_NUMBERS = ("size", "bid", "ask", "day_volume")
_LARGEST_CONDITION = 32_767


class CsvRows(FileFormat):
    """Ticks, quotes, or minute bars. Conditions are stored, and restrict nothing."""

    def events(self, header: FileHeader, values: Sequence[str]) -> list[Event]:
        row = named(header, values)
        refused = required(row, *(() if header.kind == "quotes" else REQUIRED_OF[header.kind]), "time", "symbol")
        if refused is not None:
            return [refused]
        try:
            time = nanoseconds(row["time"], header.times)
            if header.kind == "trades":
                return [_tick(row, time, _finite(row["price"]))]
        except ValueError as error:
            return [Rejected(str(error), b"")]
        return [bar(row, row["symbol"], time) if header.kind == "bars" else _quote(row, time)]

    def ticks(self, header: FileHeader, rows: PlainRows) -> TickColumns | None:
        if header.kind != "trades":
            return None
        place = {name: number for number, name in enumerate(header.columns) if name}
        symbols = rows.coded(place["symbol"])
        price = rows.decimals(place["price"])
        time = _times(rows, place["time"], header.times)
        if symbols is None or price is None or time is None or ("",) in symbols[1] or np.isnan(price).any():
            return None
        found: dict[str, Any] = {}
        for name in _NUMBERS:
            if name in place:
                numbers = rows.decimals(place[name])
                if numbers is None:
                    return None
                found[name] = None if np.isnan(numbers).all() else numbers
        for name in ("exchange", "conditions"):
            if name in place:
                coded = rows.coded(place[name])
                if coded is None:
                    return None
                different: list[Any] = [each or None for (each,) in coded[1]]
                if name == "conditions":
                    different = [each and _conditions(each) for each in different]
                    if [each is None for each in different] != [not each for (each,) in coded[1]]:
                        return None
                found[name] = None if set(different) == {None} else Coded(coded[0], different)
        if "trade_id" in place:
            ids = rows.texts(place["trade_id"])
            if ids is None:
                return None
            found["trade_id"] = texts([each or None for each in ids])
        return TickColumns(Coded(symbols[0], [name for (name,) in symbols[1]]), time, price, **found)


def _times(rows: PlainRows, column: int, times: str) -> npt.NDArray[np.int64] | None:
    if times in _NANOSECONDS:
        numbers, unit = rows.whole_numbers(column), _NANOSECONDS[times]
        return None if numbers is None or int(numbers.max()) > _LATEST // unit else numbers * unit
    values = rows.texts(column)
    try:
        return None if values is None else np.array([nanoseconds(each, times) for each in values], np.int64)
    except (ValueError, OverflowError):
        return None


def _tick(row: dict[str, str], time: int, price: float) -> Tick:
    numbers, malformed = finite_numbers(row, _NUMBERS)
    conditions = None
    if "conditions" in row:
        conditions = _conditions(row["conditions"])
        if conditions is None:
            malformed = (*(malformed or ()), "conditions")
    return Tick(
        row["symbol"],
        time,
        price,
        numbers.get("day_volume"),
        numbers.get("size"),
        numbers.get("bid"),
        numbers.get("ask"),
        row.get("exchange"),
        row.get("trade_id"),
        None,
        conditions,
        malformed,
    )


def _quote(row: dict[str, str], time: int) -> Event:
    numbers, malformed = finite_numbers(row, ("bid", "bid_size", "ask", "ask_size"))
    if not numbers and not malformed:
        return Rejected("row without bid and ask", b"")
    bid, ask = numbers.get("bid"), numbers.get("ask")
    sizes = numbers.get("bid_size"), numbers.get("ask_size")
    return Quote(row["symbol"], time, bid, sizes[0], ask, sizes[1], row.get("exchange"), malformed)


def bar(row: dict[str, str], symbol: str, start: int) -> Event:
    """The bar of the minute that begins at `start`."""
    if start % MINUTE:
        return Rejected("the bar does not begin with a minute", b"")
    try:
        first, high, low, close = (_finite(row[name]) for name in ("open", "high", "low", "close"))
    except ValueError as error:
        return Rejected(str(error), b"")
    numbers, malformed = finite_numbers(row, ("volume", "average_price"))
    return Bar(
        symbol,
        start,
        start + MINUTE,
        first,
        high,
        low,
        close,
        numbers.get("volume"),
        numbers.get("average_price"),
        malformed,
    )


def finite_numbers(row: dict[str, str], names: Sequence[str]) -> tuple[dict[str, float], tuple[str, ...] | None]:
    """The numbers of a row with these names, and the names of those that cannot be read; None if there are none."""
    numbers: dict[str, float] = {}
    malformed = []
    for name in names:
        if name in row:
            try:
                numbers[name] = _finite(row[name])
            except ValueError:
                malformed.append(name)
    return numbers, tuple(malformed) or None


def nanoseconds(text: str, times: str) -> int:
    """A time in nanoseconds since the Unix epoch, without a rounding error. Raises ValueError."""
    if times in _NANOSECONDS:
        number = _NUMBER.fullmatch(text)
        if number is None or text.startswith("-") or len(text) > 40:
            raise ValueError(f"the time is no number: {text[:60]}")
        unit = _NANOSECONDS[times]
        digits = (number[2] or "")[:9]
        return int(number[1]) * unit + (int(digits) * unit // 10 ** len(digits) if digits else 0)
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"the time is not of the form 2026-11-02T14:30:00.123Z: {text[:60]}")
    day, clock, fraction, offset = found.groups()
    offset = "+00:00" if offset in (None, "Z") else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
    whole = datetime.fromisoformat(f"{day}T{clock}{offset}")
    return to_nanoseconds(whole) + int((fraction or "0").ljust(9, "0"))


def _finite(text: str) -> float:
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"not a finite number: {text[:60]}")
    return value


def _conditions(text: str) -> tuple[int, ...] | None:
    """Numbers with anything between them that is no part of one; None if that is not what it is."""
    words = re.split(r"[\s,;|]+", text.strip("[]{}() \t"))
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        return None
    found = tuple(map(int, words))
    return found if max(found) <= _LARGEST_CONDITION else None


def columns_of(names: Sequence[str], mapping: dict[str, str], kind: Kind = "trades") -> tuple[str, ...]:
    """What each column of a file is, given its names and what `mapping` says: the name of the column of a field.

    Raises ValueError, which says what is wrong.
    """
    fields = FIELDS_OF[kind]
    unknown = [field for field in mapping if field not in fields]
    if unknown:
        raise ValueError(f"{kind} have no field {', '.join(unknown)}; fields are {', '.join(fields)}")
    absent = [column for column in mapping.values() if column not in names]
    if absent:
        raise ValueError(f"it has no column {', '.join(absent)}; it has {', '.join(names)}")
    field_of = {column: field for field, column in mapping.items()}
    found = tuple(field_of.get(name, name if name in fields and name not in mapping else "") for name in names)
    missing = [field for field in REQUIRED_OF[kind] if field not in found]
    if missing:
        raise ValueError(
            f"no column is {', '.join(missing)}; it has {', '.join(names)}: name them, as in --column time=ts"
        )
    twice = {field for field in found if field and found.count(field) > 1}
    if twice:
        raise ValueError(f"several columns are {', '.join(sorted(twice))}")
    return found
