"""What equal events have in common: their symbol, time and values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ticks_platform.ingestion.rows.tables import QUOTES, TICKS

FIELDS = {
    TICKS.name: ("price", "day_volume", "size", "bid", "ask", "exchange"),
    QUOTES.name: ("bid", "bid_size", "ask", "ask_size", "exchange"),
}
"""The fields that are compared, in addition to symbol and time."""


def key_of(values: Iterable[Any]) -> tuple[Any, ...]:
    """What equal events have in common, as the database has it."""
    # NaN is NULL in the database, and not equal to itself.
    return tuple(None if value != value else value for value in values)
