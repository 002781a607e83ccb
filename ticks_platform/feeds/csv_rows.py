"""Rows of CSV files of anybody's, whose columns the user names: ticks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from ticks_platform.feeds.events import Event, Rejected, Tick
from ticks_platform.feeds.files import FileFormat, FileHeader, named, required
from ticks_platform.timestamps import to_nanoseconds

FIELDS = ("time", "symbol", "price", "size", "exchange", "trade_id", "conditions", "bid", "ask", "day_volume")
"""What a column may be."""

REQUIRED = ("time", "symbol", "price")

TIMES = ("iso", "s", "ms", "us", "ns")
"""What times may be: ISO 8601, UTC where it has no offset, or a number since the Unix epoch."""

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+)(?:\.(\d*))?", re.ASCII)
_NUMBERS = ("size", "bid", "ask", "day_volume")
_LARGEST_CONDITION = 32_767


class CsvRows(FileFormat):
    """Ticks. Their conditions are stored, and restrict nothing."""

    def events(self, header: FileHeader, values: Sequence[str]) -> list[Event]:
        row = named(header, values)
        refused = required(row, *REQUIRED)
        if refused is not None:
            return [refused]
        try:
            time = nanoseconds(row["time"], header.times)
            price = _finite(row["price"])
        except ValueError as error:
            return [Rejected(str(error), b"")]
        malformed = []
        numbers: dict[str, float] = {}
        for name in _NUMBERS:
            if name in row:
                try:
                    numbers[name] = _finite(row[name])
                except ValueError:
                    malformed.append(name)
        conditions = None
        if "conditions" in row:
            conditions = _conditions(row["conditions"])
            if conditions is None:
                malformed.append("conditions")
        return [
            Tick(
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
                tuple(malformed) or None,
            )
        ]


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


def columns_of(names: Sequence[str], mapping: dict[str, str]) -> tuple[str, ...]:
    """What each column of a file is, given its names and what `mapping` says: the name of the column of a field.

    Raises ValueError, which says what is wrong.
    """
    unknown = [field for field in mapping if field not in FIELDS]
    if unknown:
        raise ValueError(f"there is no field {', '.join(unknown)}; fields are {', '.join(FIELDS)}")
    absent = [column for column in mapping.values() if column not in names]
    if absent:
        raise ValueError(f"it has no column {', '.join(absent)}; it has {', '.join(names)}")
    field_of = {column: field for field, column in mapping.items()}
    found = tuple(field_of.get(name, name if name in FIELDS and name not in mapping else "") for name in names)
    missing = [field for field in REQUIRED if field not in found]
    if missing:
        raise ValueError(
            f"no column is {', '.join(missing)}; it has {', '.join(names)}: name them, as in --column time=ts"
        )
    twice = {field for field in found if field and found.count(field) > 1}
    if twice:
        raise ValueError(f"several columns are {', '.join(sorted(twice))}")
    return found
