"""What the page lists beside the chart: symbols with their prices, open gaps, rejected events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticks_platform.live.queries import Parts, Wanted

Overview = dict[str, Any]

NOTHING_KNOWN: dict[str, Any] = {"database": {"tone": "idle", "words": "connecting"}, "feeds": []}
"""What viewers are told before the database has answered."""


def updated(known: Overview, wanted: Wanted, parts: Parts, symbols: Mapping[str, tuple[str | None, bool]]) -> Overview:
    """What is known with what a poll has brought, if it asked for it. `symbols` has the name of each symbol."""
    overview = dict(known)
    if wanted.open_gaps:
        (overview["open_gaps"],) = parts["open_gaps"]
    if wanted.rejected:
        (overview["rejected"],) = parts["rejected"]
        quotes = {quote[0]: quote[1:] for quote in (parts.get("quotes") or [[]])[0]}
        overview["symbol_count"] = len(symbols)
        overview["symbols"] = [
            [symbol, symbols.get(symbol, (None, False))[0], *quotes.get(symbol, (None, None, None))]
            for symbol in wanted.quotes
        ]
    return overview


def open_gaps(known: Overview) -> int:
    """How many gaps are open."""
    return int(known["open_gaps"]["count"]) if known else 0
