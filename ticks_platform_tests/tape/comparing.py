"""Comparison of the stored candles with those of a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ticks_platform_tests.tape.case import Row

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

VOLUMES = ("volume", "day_volume", "day_volume_low", "day_volume_high")
TOLERANCE = 1e-9
"""Relative difference of volumes; prices have to be equal."""

Candles = dict[tuple[str, datetime], dict[str, Any]]


def stored(cursor: Cursor) -> Candles:
    """All candles of a minute, by symbol and begin."""
    cursor.execute("SELECT * FROM one_minute_candle ORDER BY symbol, bucket")
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {(row["symbol"], row["bucket"]): row for row in rows}


def differences(expected: Iterable[Row], found: Candles) -> list[str]:
    """What is wrong, in lines; nothing if all is right.

    A candle that is not expected is wrong too, unless it is empty: all its ticks were cancelled, or are of a secondary
    feed.
    """
    lines = []
    wanted = {(row["symbol"], row["bucket"]): row for row in expected}
    for key, row in wanted.items():
        came = found.get(key)
        if came is None:
            lines.append(f"{_name(key)}: expected {_values(row, row)}, came nothing")
        elif any(column not in came or not _equal(column, value, came[column]) for column, value in row.items()):
            lines.append(f"{_name(key)}: expected {_values(row, row)}, came {_values(came, row)}")
    for key, came in found.items():
        if key not in wanted and any(came[column] is not None for column in ("open", "high", "low", "close", "volume")):
            columns = dict.fromkeys(("open", "high", "low", "close", "volume"))
            lines.append(f"{_name(key)}: expected nothing, came {_values(came, columns)}")
    return lines


def _equal(column: str, expected: Any, came: Any) -> bool:
    if column in VOLUMES and expected is not None and came is not None:
        return abs(expected - came) <= TOLERANCE * max(1.0, abs(expected))
    return bool(expected == came)


def _name(key: tuple[str, datetime]) -> str:
    return f"{key[0]} {key[1]:%Y-%m-%d %H:%M}"


def _values(row: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {row.get(name)}" for name in columns if name not in ("symbol", "bucket"))
