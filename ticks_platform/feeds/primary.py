"""Primary feeds: each symbol's candles are made by the ticks of one feed.

Two feeds whose ticks carry the same symbol would put each trade into the candle twice, or mix two sources' prices. So
all but one of them are secondary, which `candles: false` in feeds.yaml says.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ticks_platform.feeds.connector import Connector
from ticks_platform.paths import journal_path

MANUAL = "manual"
"""The feed of rows that were inserted by hand, which no feed of feeds.yaml may be."""

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
    both_ran_before: bool
    """Whether both have run on this machine before version 0.2.0, which was the first to refuse this."""

    def __str__(self) -> str:
        more = len(self.symbols) - NAMED
        symbols = ", ".join(self.symbols[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"feeds '{self.first}' and '{self.second}' would both make the candles of {symbols}"

    @property
    def remedy(self) -> str:
        """What to write into feeds.yaml."""
        return (
            "Remove the symbols from one of them, or make one secondary: all its ticks are stored, and are in no "
            "candle. For example, add `candles: false`:"
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
            primary.append((feed, names_of(feed)))
    found = []
    for (one, ones), (other, others) in itertools.combinations(primary, 2):
        both = ones.shared_with(others) if one.synthetic == other.synthetic else set()
        if both:
            older = ran_before_0_2(one.name) and ran_before_0_2(other.name)
            found.append(Shared(one.name, other.name, tuple(sorted(both)), older))
    return found


def names_of(feed: Feed) -> Names:
    """The names that a feed's ticks may carry."""
    return Names.of(feed.keyless_connector(), feed.symbol_names())


def ran_before_0_2(feed: str) -> bool:
    """Whether a feed has a journal of an earlier release on this machine; later ones say which release created them."""
    path = journal_path(feed)
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as journal:
            query = "SELECT count(*) FROM sqlite_schema WHERE name = 'created_by'"
            return bool(journal.execute(query).fetchone() == (0,))
    except sqlite3.Error:
        # Damaged, or locked: a feed that streams must not end because of it.
        return True


class Names(NamedTuple):
    """The names that a feed's ticks may carry."""

    single: set[str]
    many: dict[re.Pattern[str], str]
    """Symbols that stand for many, by the pattern of those."""

    @classmethod
    def of(cls, connector: Connector, symbols: Iterable[str]) -> Names:
        names = cls(set(), {})
        for symbol in symbols:
            pattern = connector.many_names(symbol)
            if pattern is None:
                names.single.add(connector.symbol_of(symbol))
            else:
                names.many[pattern] = symbol
        return names

    def contains(self, name: str) -> bool:
        """Whether ticks of the feed may carry this name."""
        return name in self.single or any(pattern.fullmatch(name) for pattern in self.many)

    def shared_with(self, other: Names) -> set[str]:
        """The names, and the symbols that stand for many, that both may carry."""
        found = self.single & other.single
        found |= {symbol for pattern, symbol in self.many.items() if pattern in other.many}
        for one, another in ((self, other), (other, self)):
            found |= {name for name in one.single if another.contains(name)}
        return found
