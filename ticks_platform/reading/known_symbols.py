"""Which symbols there are, and which one was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from ticks_platform.reading.arguments import ReadingError, Symbols, symbol_list
from ticks_platform.reading.source import execute

_NEAREST = 3
_NAMED = 10


class UnknownSymbolError(ReadingError):
    """No feed has the symbol, and nothing of it is stored; the message has the nearest names."""


class Names(NamedTuple):
    """The symbols of a call."""

    asked: list[str] | None
    """None for all."""
    all: list[str]
    """Those that were asked for, or else those that are known, in order."""


def find_symbols(connection: sa.Connection, symbols: Symbols) -> Names:
    """The symbols of a call. Raises UnknownSymbolError for those that nothing is known of."""
    asked = symbol_list(symbols)
    known = [name for (name,) in execute(connection, "queries/reading/known_symbols.sql", {"asked": asked})]
    if asked is None:
        return Names(None, known)
    unknown = sorted(set(asked).difference(known))
    if unknown:
        # Those that no feed has may be meant, too.
        known = [name for (name,) in execute(connection, "queries/reading/known_symbols.sql", {"asked": None})]
        words = [f"{symbol!r}{_nearest(symbol, known)}" for symbol in unknown[:_NAMED]]
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise UnknownSymbolError(
            f"no feed has {', '.join(words)}{more}, and nothing of {'it' if len(unknown) == 1 else 'them'} is stored: "
            "ticks_platform.symbols() lists the symbols"
        )
    return Names(asked, sorted(asked))


def _nearest(symbol: str, known: Sequence[str]) -> str:
    by_letters: dict[str, list[str]] = {}
    for name in known:
        by_letters.setdefault(name.casefold(), []).append(name)
    close = difflib.get_close_matches(symbol.casefold(), list(by_letters), n=_NEAREST, cutoff=0.6)
    names = [name for letters in close for name in by_letters[letters]][:_NEAREST]
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""
