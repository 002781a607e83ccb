"""Primary feeds: each symbol's candles are made by the ticks of one feed.

Two feeds whose ticks carry the same symbol would put each trade into the candle twice, or mix two sources' prices. So
all but one of them are secondary, which `candles: false` in feeds.yaml says.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ticks_platform.feeds.connector import Connector
from ticks_platform.paths import journal_path

NAMED = 5
"""Symbols that a message names."""


class Feed(Protocol):
    """What is asked of a feed's settings."""

    @property
    def name(self) -> str: ...
    @property
    def candles(self) -> bool: ...
    @property
    def synthetic(self) -> bool: ...
    def symbol_names(self) -> tuple[str, ...]: ...
    def keyless_connector(self) -> Connector: ...


class Shared(NamedTuple):
    """Two primary feeds whose ticks carry the same symbols."""

    first: str
    second: str
    symbols: tuple[str, ...]
    """As the ticks carry them. A symbol that stands for many, such as Polygon's ``*``, only if both feeds have it."""
    both_have_run: bool
    """Whether both have a journal on this machine: they ran before this was refused."""

    def __str__(self) -> str:
        more = len(self.symbols) - NAMED
        symbols = ", ".join(self.symbols[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"feeds '{self.first}' and '{self.second}' would both make the candles of {symbols}"

    @property
    def remedy(self) -> str:
        """What to write into feeds.yaml."""
        return (
            "Make one of them secondary: its ticks are stored, but are in no candle. For example, add `candles: false`:"
            f"\n    {self.second}:\n      candles: false"
        )


def shared(feeds: Iterable[Feed]) -> list[Shared]:
    """The pairs of primary feeds whose ticks carry the same symbols. Feeds of quotes or bars alone have no ticks.

    A synthetic and a live feed are no pair: no database holds the ticks of both.
    """
    primary = []
    for feed in feeds:
        connector = feed.keyless_connector()
        if feed.candles and connector.carries_ticks:
            primary.append((feed, _Names.of(connector, feed.symbol_names())))
    found = []
    for (one, ones), (other, others) in itertools.combinations(primary, 2):
        both = ones.shared_with(others) if one.synthetic == other.synthetic else set()
        if both:
            have_run = all(journal_path(feed.name).exists() for feed in (one, other))
            found.append(Shared(one.name, other.name, tuple(sorted(both)), have_run))
    return found


class _Names(NamedTuple):
    """The names that a feed's ticks may carry."""

    single: set[str]
    many: dict[re.Pattern[str], str]
    """Symbols that stand for many, by the pattern of those."""

    @classmethod
    def of(cls, connector: Connector, symbols: Iterable[str]) -> _Names:
        names = cls(set(), {})
        for symbol in symbols:
            pattern = connector.many_names(symbol)
            if pattern is None:
                names.single.add(connector.symbol_of(symbol))
            else:
                names.many[pattern] = symbol
        return names

    def shared_with(self, other: _Names) -> set[str]:
        found = self.single & other.single
        found |= {symbol for pattern, symbol in self.many.items() if pattern in other.many}
        for one, another in ((self, other), (other, self)):
            found |= {name for name in one.single if any(pattern.fullmatch(name) for pattern in another.many)}
        return found
