"""Polygon.io's (Massive's) flat files: a day of trades of all US stocks, sorted by ticker.

Sources: the page of the product (polygon.io/flat-files/stocks-trades: columns and their meaning), the provider's
tutorial (insights-from-trade-level-data: rows of 2024-04-05), and rows of September 2026 that users published, which
have decimals in prices and sizes. Times are nanoseconds; `trf_id` is 0 where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Event
from ticks_platform.feeds.files import FileFormat, FileHeader, named, required
from ticks_platform.feeds.plain_rows import PlainRows
from ticks_platform.feeds.polygon.history import trade, without_equal_data
from ticks_platform.feeds.polygon.trades import exchange_name, trade_columns
from ticks_platform.timestamps import MILLISECOND

TRADES = (
    *("ticker", "conditions", "correction", "exchange", "id", "participant_timestamp", "price", "sequence_number"),
    *("sip_timestamp", "size", "tape", "trf_id", "trf_timestamp"),
)
"""The columns of trades, as documented; their order may differ."""

REQUIRED = ("ticker", "price", "sip_timestamp", "size", "conditions", "correction", "exchange", "id", "trf_id")
"""Columns without which a file is none of these: without conditions, for example, candles would be wrong."""

_READ = frozenset(TRADES) - {"sequence_number", "trf_timestamp", "ticker"}
_WHOLE = ("tape", "correction")

_encode = msgspec.json.Encoder().encode


class FlatFile(FileFormat):
    """Trades of US stocks."""

    def events(self, header: FileHeader, values: Sequence[str]) -> list[Event]:
        row = named(header, values)
        refused = required(row, "ticker", "price", "sip_timestamp")
        if refused is not None:
            return [refused]
        # As REST sends it, so that the same trade is the same one.
        fields: dict[str, Any] = {name: value for name, value in row.items() if name in _READ}
        if fields.get("trf_id") == "0":
            del fields["trf_id"]
        if "conditions" in fields:
            fields["conditions"] = list(map(_whole, fields["conditions"].split(",")))
        for name in _WHOLE:
            if name in fields:
                fields[name] = _whole(fields[name])
        return trade(row["ticker"], _encode(fields), "stocks")

    def finish(self, events: list[Event]) -> list[Event]:
        return without_equal_data(events)

    def ticks(self, header: FileHeader, rows: PlainRows) -> TickColumns | None:
        place = {name: number for number, name in enumerate(header.columns)}
        corrections = rows.coded(place["correction"])
        names = rows.coded(place["ticker"])
        conditions = rows.coded(place["conditions"])
        exchanges = rows.coded(place["exchange"], place["trf_id"])
        ids = rows.texts(place["id"])
        if corrections is None or names is None or conditions is None or exchanges is None or ids is None:
            return None
        if not {each for (each,) in corrections[1]} <= {"0", ""} or ("",) in names[1]:
            return None
        times = rows.whole_numbers(place["sip_timestamp"])
        price, size = rows.decimals(place["price"]), rows.decimals(place["size"])
        if times is None or price is None or size is None or np.isnan(price).any() or np.isnan(size).any():
            return None
        return trade_columns(
            Coded(names[0], [each for (each,) in names[1]]),
            times // MILLISECOND * MILLISECOND,
            price,
            size=size,
            conditions=Coded(conditions[0], [f"[{each}]".encode() if each else b"" for (each,) in conditions[1]]),
            exchanges=Coded(exchanges[0], [exchange_name(*_place(*each)) for each in exchanges[1]]),
            ids=[each or None for each in ids],
        )


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _place(exchange: str, trf: str) -> tuple[int | None, int | None]:
    """The numbers of an exchange and a TRF."""
    return int(exchange) if exchange else None, int(trf) if trf not in ("", "0") else None


def _whole(text: str) -> int | str:
    """A whole number; the text if it is none, which the decoder of trades refuses or leaves out."""
    return int(text) if _are_digits(text) and len(text) < 20 else text


def refusal(columns: Sequence[str]) -> str | None:
    """Why a file with these columns cannot be read; None if it can."""
    missing = [name for name in REQUIRED if name not in columns]
    if not missing:
        return None
    return f"it has no column {', '.join(missing)}: a flat file of trades of stocks has {', '.join(TRADES)}"
