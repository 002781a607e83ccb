"""The tables of what is known of instruments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class Instrument(NamedTuple):
    """A row of `instrument`."""

    symbol: str
    asset_class: str | None
    mic: str | None
    currency: str | None
    tick_size: float | None
    may_be_negative: bool
    calendar: str | None
    hours: str | None
    source: str


class Kept(NamedTuple):
    """How many rows were written or deleted."""

    instruments: int
    round_lots: int


def keep(
    cursor: Cursor,
    instruments: Sequence[Instrument],
    set_lots: Mapping[str, Mapping[date, float]],
    seen_lots: Mapping[str, tuple[float, str]],
) -> Kept:
    """Store these instruments. Other symbols stay, and rows that are right are not written.

    `set_lots` are all the round lots of their symbols; `seen_lots` are added to those of theirs, with their source,
    if they differ from the newest.
    """
    cursor.execute(
        sql_files.read("queries/instruments/upsert.sql"),
        {"rows": json.dumps([instrument._asdict() for instrument in instruments])},
    )
    changed = int(cursor.rowcount)
    unset = [instrument.symbol for instrument in instruments if instrument.symbol not in set_lots]
    cursor.execute(sql_files.read("queries/instruments/forget_round_lots.sql"), {"symbols": unset})
    lots = int(cursor.rowcount)
    given = [
        {"symbol": symbol, "valid_from": str(day), "round_lot": lot}
        for symbol, by_day in set_lots.items()
        for day, lot in by_day.items()
    ]
    cursor.execute(sql_files.read("queries/instruments/set_round_lots.sql"), {"rows": json.dumps(given)})
    lots += int((cursor.fetchone() or (0,))[0])
    seen = [{"symbol": symbol, "round_lot": lot, "source": source} for symbol, (lot, source) in seen_lots.items()]
    cursor.execute(sql_files.read("queries/instruments/see_round_lots.sql"), {"rows": json.dumps(seen)})
    return Kept(changed, lots + int(cursor.rowcount))


def ticked_symbols(cursor: Cursor) -> list[str]:
    """The symbols that have candles of the last days."""
    cursor.execute(sql_files.read("queries/instruments/ticked_symbols.sql"))
    return [symbol for (symbol,) in cursor.fetchall()]
