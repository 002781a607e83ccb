"""Makes the rows of `instrument` and `round_lot`: feeds.yaml wins over a provider, and both over what a market lets
expect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from ticks_platform.feeds.primary import names_of
from ticks_platform.feeds.reference import MAY_BE_NEGATIVE, Facts
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale.instruments import Instrument

SETTINGS, DEFAULT = "feeds.yaml", "default"
"""Sources of rows, beside the names of providers."""

_FIELDS = ("asset_class", "mic", "currency", "tick_size", "may_be_negative")


class Known(NamedTuple):
    """What is known of the instruments of all feeds."""

    instruments: list[Instrument]
    set_lots: dict[str, dict[date, float]]
    """The round lots that feeds.yaml gives, by symbol and first day."""
    seen_lots: dict[str, tuple[float, str]]
    """The round lots of other symbols that a provider names, as of its last answer, with the provider's name."""


class _Symbol(NamedTuple):
    """A symbol of a feed, by the name that its ticks carry."""

    feed: FeedSettings
    said: Mapping[str, Any]
    expected: Facts
    calendar: str
    hours: str
    """The calendar of the hours in which the provider sends it."""


def known(
    feeds: Iterable[FeedSettings], references: Mapping[tuple[str, str], Facts], ticked: Collection[str] = ()
) -> Known:
    """What is known of the symbols of these feeds; `references` by feed and symbol.

    Of `ticked`, symbols that have ticks, those are added that a symbol such as Polygon's ``*`` stands for.
    """
    # The primary feed of a symbol is asked first; no two contradict each other.
    ordered = sorted(feeds, key=lambda feed: not feed.candles)
    of_symbols: dict[str, list[_Symbol]] = {}
    for feed in ordered:
        for name, symbol in _symbols(feed, ticked):
            of_symbols.setdefault(name, []).append(symbol)
    found = Known([], {}, {})
    for name, symbols in sorted(of_symbols.items()):
        said = {field: value for symbol in reversed(symbols) for field, value in symbol.said.items()}
        answers = [(symbol.feed.provider, references.get((symbol.feed.name, name), Facts())) for symbol in symbols]
        found.instruments.append(_instrument(name, symbols[0], said, answers))
        lots = [(facts.round_lot, provider) for provider, facts in answers if facts.round_lot is not None]
        if "round_lot" in said:
            found.set_lots[name] = said["round_lot"]
        elif lots:
            found.seen_lots[name] = lots[0]
    return found


def _symbols(feed: FeedSettings, ticked: Collection[str]) -> Iterable[tuple[str, _Symbol]]:
    connector, names = feed.keyless_connector(), names_of(feed)
    calendars, hours = feed.calendars(), feed.sending_calendars()
    for item in feed.symbols:
        if connector.many_names(item.symbol) is None:
            name = connector.symbol_of(item.symbol)
            yield (
                name,
                _Symbol(feed, item.facts(), connector.instrument(item.symbol), calendars[name].name, hours[name].name),
            )
    if names.many:
        many = next(iter(names.many.values()))
        for name in ticked:
            if name not in names.single and names.contains(name):
                yield name, _Symbol(feed, {}, connector.instrument(name), calendars[many].name, hours[many].name)


def _instrument(name: str, first: _Symbol, said: Mapping[str, Any], answers: Iterable[tuple[str, Facts]]) -> Instrument:
    levels = [(SETTINGS, said), *((provider, facts._asdict()) for provider, facts in answers)]
    levels.append((DEFAULT, first.expected._asdict()))
    values: dict[str, Any] = {}
    sources: dict[str, None] = {}
    for source, level in levels:
        for field in _FIELDS:
            if field not in values and level.get(field) is not None:
                values[field] = level[field]
                sources[source] = None
    values.setdefault("may_be_negative", values.get("asset_class") in MAY_BE_NEGATIVE)
    return Instrument(
        name,
        values.get("asset_class"),
        values.get("mic"),
        values.get("currency"),
        values.get("tick_size"),
        values["may_be_negative"],
        first.calendar,
        first.hours,
        ", ".join(sources) or DEFAULT,
    )
