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
from ticks_platform.feeds.polygon.history import trade, without_equal_data
from ticks_platform.feeds.polygon.trades import trade_columns
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

    def ticks(self, header: FileHeader, rows: Sequence[Sequence[str]]) -> TickColumns | None:
        columns = dict(zip(header.columns, zip(*rows, strict=True), strict=True))
        if not {*columns["correction"]} <= {"0", ""} or "" in columns["ticker"]:
            return None
        times, prices, sizes = columns["sip_timestamp"], columns["price"], columns["size"]
        # `int` and `float` accept more than the decoder of trades does.
        if not all(map(_are_digits, ("".join(times), *("".join(each).replace(".", "") for each in (prices, sizes))))):
            return None
        time = np.fromiter(map(int, times), np.int64, len(rows))
        price, size = (np.fromiter(map(float, each), np.float64, len(rows)) for each in (prices, sizes))
        if not (np.isfinite(price).all() and np.isfinite(size).all()):
            return None
        return trade_columns(
            Coded.of(columns["ticker"]),
            time // MILLISECOND * MILLISECOND,
            price,
            size=size,
            raw_conditions=Coded.of(columns["conditions"]).map(lambda each: f"[{each}]".encode() if each else b""),
            places=Coded.of(list(zip(columns["exchange"], columns["trf_id"], strict=True))),
            ids=[each or None for each in columns["id"]],
            place_of=_place,
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
