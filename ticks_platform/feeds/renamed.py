"""Which names of earlier releases the symbols of feeds.yaml had."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.symbol_settings import MAX_SYMBOL_LENGTH, SymbolSettings, check_storable

_SHOWN = 40
"""Characters of a name that a message shows."""


class Feed(Protocol):
    """What is asked of a feed's settings."""

    @property
    def name(self) -> str: ...
    def symbol_names(self) -> tuple[str, ...]: ...
    def keyless_connector(self) -> Connector: ...


class Mixed(NamedTuple):
    """A former name that several symbols of a feed had: rows under it do not say whose they are."""

    feed: str
    old: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"rows of {self.old} in feed '{self.feed}' may be of {' or of '.join(self.names)}, and do not say which: "
            "they are left as they are. If only one of them was streamed then, name it in the job's `renames`. "
            "Otherwise delete these rows, and replay a journal of that time, if you have kept one"
        )


class Former(NamedTuple):
    """The former names."""

    names: dict[tuple[str | None, str], str]
    """The name of today, by feed and former name."""
    mixed: tuple[Mixed, ...]
    asked: frozenset[tuple[str, str]]
    """Feeds, and the names that they have today."""


def former(feeds: Iterable[Feed]) -> Former:
    """The former names of these feeds' symbols."""
    names: dict[tuple[str | None, str], str] = {}
    mixed = []
    asked: set[tuple[str, str]] = set()
    for feed in feeds:
        connector = feed.keyless_connector()
        by_old: dict[str, dict[str, None]] = {}
        today = {symbol: connector.symbol_of(symbol) for symbol in feed.symbol_names()}
        for symbol, name in today.items():
            for old in connector.former_names(symbol):
                by_old.setdefault(old, {})[name] = None
        for old, those in by_old.items():
            if old in today.values():
                those[old] = None
            if len(those) > 1:
                mixed.append(Mixed(feed.name, old, tuple(those)))
            else:
                (names[feed.name, old],) = those
        asked |= {(feed.name, name) for name in today.values()}
    return Former(names, tuple(mixed), frozenset(asked))


def unusable(names: Iterable[str]) -> list[str]:
    """What is wrong with new names that no symbol of feeds.yaml could have."""
    found = []
    for name in dict.fromkeys(names):
        try:
            check_storable("", [SymbolSettings(symbol=name)])
        except ValueError:
            found.append(
                f"the new name {name[:_SHOWN]!a} is none that a symbol can have: it needs 1 to {MAX_SYMBOL_LENGTH} "
                "characters that can be printed, without a comma, or a space at its begin or end"
            )
    return found
