"""Polygon.io's (Massive's) flat files: a day of all US stocks, sorted by ticker: trades, quotes, or minute bars.

Sources: the page of the product (polygon.io/flat-files/stocks-trades: columns and their meaning), the provider's
tutorial (insights-from-trade-level-data: rows of 2024-04-05), and for quotes (`quotes_v1`) and minute bars
(`minute_aggs_v1`) headers and rows of 2024 to 2026 that users published, in which prices, sizes and volumes have
decimals. Times are nanoseconds; `trf_id` is 0 where there is none, and so is a side of a quote that is not there.
Whether sizes of quotes are shares or round lots at a given date is not certain: they are stored as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.csv_rows import bar, finite_numbers, nanoseconds
from ticks_platform.feeds.events import Event, Quote, Rejected
from ticks_platform.feeds.files import FileFormat, FileHeader, Kind, named, required
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

QUOTES = (
    *("ticker", "ask_exchange", "ask_price", "ask_size", "bid_exchange", "bid_price", "bid_size", "conditions"),
    *("indicators", "participant_timestamp", "sequence_number", "sip_timestamp", "tape", "trf_timestamp"),
)
"""The columns of quotes."""

BARS = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
"""The columns of minute bars, and of bars of a day, which are refused: no candle is compared with them."""

REQUIRED_OF: dict[Kind, tuple[str, ...]] = {
    "trades": REQUIRED,
    "quotes": ("ticker", "ask_price", "ask_size", "bid_price", "bid_size", "sip_timestamp"),
    "bars": ("ticker", "volume", "open", "close", "high", "low", "window_start"),
}

_ALL: dict[Kind, tuple[str, ...]] = {"trades": TRADES, "quotes": QUOTES, "bars": BARS}

_READ = frozenset(TRADES) - {"sequence_number", "trf_timestamp", "ticker"}
_WHOLE = ("tape", "correction")

_encode = msgspec.json.Encoder().encode


class FlatFile(FileFormat):
    """Trades, quotes, or minute bars of US stocks."""

    def events(self, header: FileHeader, values: Sequence[str]) -> list[Event]:
        row = named(header, values)
        kind = kind_of(header.columns)
        if kind != "trades":
            return [_quote(row) if kind == "quotes" else _bar(row)]
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
        if kind_of(header.columns) != "trades":
            return None
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


def _quote(row: dict[str, str]) -> Event:
    """As the WebSocket has it: in milliseconds, without the exchanges of the sides."""
    refused = required(row, "ticker", "sip_timestamp")
    if refused is not None:
        return refused
    try:
        time = nanoseconds(row["sip_timestamp"], "ns")
    except ValueError as error:
        return Rejected(str(error), b"")
    numbers, malformed = finite_numbers(row, ("bid_price", "bid_size", "ask_price", "ask_size"))
    bid, ask = numbers.get("bid_price") or None, numbers.get("ask_price") or None
    return Quote(
        row["ticker"],
        time // MILLISECOND * MILLISECOND,
        bid,
        numbers.get("bid_size") if bid else None,
        ask,
        numbers.get("ask_size") if ask else None,
        None,
        malformed,
    )


def _bar(row: dict[str, str]) -> Event:
    refused = required(row, *REQUIRED_OF["bars"][2:], "ticker")
    if refused is not None:
        return refused
    try:
        start = nanoseconds(row["window_start"], "ns")
    except ValueError as error:
        return Rejected(str(error), b"")
    return bar(row, row["ticker"], start)


def kind_of(columns: Sequence[str]) -> Kind:
    """What the rows of a file with these columns are."""
    if "window_start" in columns:
        return "bars"
    return "quotes" if "bid_price" in columns or "ask_price" in columns else "trades"


def refusal(columns: Sequence[str]) -> str | None:
    """Why a file with these columns cannot be read; None if it can."""
    kind = kind_of(columns)
    missing = [name for name in REQUIRED_OF[kind] if name not in columns]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        return f"several columns are {', '.join(twice)}"
    if not missing:
        return None
    return f"it has no column {', '.join(missing)}: a flat file of {kind} of stocks has {', '.join(_ALL[kind])}"
