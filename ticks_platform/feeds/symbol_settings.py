"""What feeds.yaml says of a symbol, and where two feeds contradict each other."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, Protocol, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from ticks_platform.feeds.calendars import calendar, checked_hours
from ticks_platform.feeds.connector import AskedSymbol, Connector
from ticks_platform.feeds.primary import ran_before_0_2

AssetClass = Literal[
    "stock", "etf", "fund", "index", "currency", "crypto", "commodity", "future", "option", "bond", "other"
]
"""What kind of instrument a symbol names. `currency` is a pair of currencies, `commodity` a spot price such as gold."""

CalendarName = Annotated[str, AfterValidator(lambda name: calendar(name).name)]
SendingHours = Annotated[str, AfterValidator(checked_hours)]

ALWAYS_VALID = date.min
"""Since when a round lot is valid that feeds.yaml gives without a date."""

MAX_SYMBOL_LENGTH = 100
"""Characters, which are 400 bytes at most. It is in the keys of the tables, beside the feed and times, and PostgreSQL
refuses an index entry of over 2,704 bytes. Providers' symbols are shorter: options take 21 characters, indices, and
pairs with their exchange, some 30."""

_ALL = "*"
"""Stands for all symbols, with providers that know such a subscription."""

_SHOWN = 40
"""Characters of a symbol that a message shows."""

_MINOR_UNITS = {"GBp": "GBX", "ZAc": "ZAC", "ILa": "ILA"}
"""Hundredths of pounds, rand and shekels, as some providers spell them, by the code that the platform uses."""


class Section(BaseModel):
    """Settings that cannot be changed, and that refuse what they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SymbolSettings(Section):
    """A symbol as feeds.yaml spells it, and what is known of its instrument.

    What is not given comes from the provider's reference data, where there is a key, or by what its market lets expect.
    """

    symbol: Annotated[str, Field(min_length=1, pattern=r"^[^\s,]+( [^\s,]+)*$")]
    name: str | None = None
    """The name by which people know it."""
    calendar: CalendarName | None = None
    """The calendar of its market, if it is not the feed's."""
    hours: SendingHours | None = None
    """When the provider sends it, if not in the feed's hours."""
    asset_class: AssetClass | None = None
    """What kind of instrument it is."""
    mic: Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")] | None = None
    """The exchange that lists it, by its four-character code, such as XNAS."""
    currency: Annotated[str, Field(pattern=r"^[A-Z0-9]{3,10}$")] | None = None
    """The unit of its prices: USD, or GBX for pence. ``GBp`` is GBX too."""
    tick_size: Annotated[float, Field(gt=0)] | None = None
    """The smallest step of its price, in its currency. A change of one step is no jump."""
    round_lot: dict[date, Annotated[float, Field(gt=0)]] | None = None
    """Units of a round lot: a number, or a mapping of dates to the numbers that are valid from then on."""
    may_be_negative: bool | None = None
    """Whether its price may be zero or negative, as that of a future or a spread."""

    # These messages say what is expected and never quote the value, as those of a feed.

    @field_validator("symbol", mode="before")
    @classmethod
    def _one_symbol(cls, value: Any) -> Any:
        if isinstance(value, str) and (value != " ".join(value.split()) or "," in value):
            raise ValueError("must have no comma, no space at its begin or end, and no two spaces in a row")
        return value

    @field_validator("asset_class", mode="before")
    @classmethod
    def _known_asset_class(cls, value: Any) -> Any:
        known = get_args(AssetClass)
        if value is None or value in known:
            return value
        close = difflib.get_close_matches(str(value).lower(), known, n=1)
        raise ValueError(f"must be one of {', '.join(known)}{f'; did you mean {close[0]!r}?' if close else ''}")

    @field_validator("mic", mode="before")
    @classmethod
    def _exchange(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.upper()
            if len(value) != 4 or not (value.isascii() and value.isalnum()):
                raise ValueError("must be the exchange's MIC of four characters, such as XNAS or XLON")
        return value

    @field_validator("currency", mode="before")
    @classmethod
    def _unit(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = currency_code(value)
            if not (3 <= len(value) <= 10 and value.isascii() and value.isalnum()):
                raise ValueError("must be a currency's code, such as USD, USDT, or GBX for pence")
        return value

    @field_validator("round_lot", mode="before")
    @classmethod
    def _by_date(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not value > 0:
                raise ValueError("must be greater than 0")
            return {ALWAYS_VALID: value}
        if isinstance(value, Mapping) and value and all(isinstance(day, date | str) for day in value):
            # Pydantic names a key that is text as it is.
            return {str(day): lot for day, lot in value.items()}
        if value is None:
            return value
        raise ValueError("must be a number of units, or a mapping of dates to numbers, such as {2025-11-03: 40}")

    def facts(self) -> dict[str, Any]:
        """What is said of the instrument. When a provider sends (`hours`) is a matter of the feed."""
        return {name: value for name in FACTS if (value := getattr(self, name)) is not None}


FACTS = ("name", "calendar", "asset_class", "mic", "currency", "tick_size", "round_lot", "may_be_negative")
"""Settings of a symbol that are true of its instrument, whichever feed it comes from."""


def currency_code(value: str) -> str:
    """A currency's code as the platform spells it: in upper case, and GBX for pence, which some providers call GBp."""
    return _MINOR_UNITS.get(value.strip(), value.strip().upper())


def asked(symbols: Iterable[SymbolSettings]) -> tuple[AskedSymbol, ...]:
    """The symbols, for the connector."""
    return tuple(AskedSymbol(item.symbol, item.currency) for item in symbols)


def check_storable(feed: str, symbols: Iterable[SymbolSettings]) -> None:
    """Raise ValueError if the tables cannot hold a symbol."""
    for item in symbols:
        symbol = item.symbol
        if len(symbol) > MAX_SYMBOL_LENGTH:
            raise ValueError(
                f"symbol {symbol[:_SHOWN]!a}… of feed '{feed}' has {len(symbol):,} characters; at most "
                f"{MAX_SYMBOL_LENGTH} can be stored. If several symbols are meant, list each by itself"
            )
        if not symbol.isprintable():
            raise ValueError(f"symbol {symbol!a} of feed '{feed}' has characters that cannot be printed; remove them")


def each_once(option: Any) -> Any:
    """A list of texts without those that come again; any other value as it is."""
    if isinstance(option, list | tuple) and all(isinstance(each, str) for each in option):
        return type(option)(dict.fromkeys(option))
    return option


def check_names(connector: Connector, symbols: Sequence[SymbolSettings]) -> None:
    """Raise ValueError if two symbols of a feed have one name, or cannot be told apart, or one stands for all and the
    provider knows no such thing.
    """
    if any(item.symbol == _ALL for item in symbols) and connector.many_names(_ALL) is None:
        raise ValueError(
            f"'{_ALL}' stands for all symbols of a market, which cannot be subscribed to at once here: name the symbols"
        )
    spelled: dict[str, list[str]] = {}
    for item in symbols:
        spelled.setdefault(connector.symbol_of(item.symbol), []).append(item.symbol)
    twice = [
        f"{name} (as {' and '.join(those)})" if set(those) != {name} else name
        for name, those in sorted(spelled.items())
        if len(those) > 1
    ]
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    connector.use_symbols(asked(symbols))


class Feed(Protocol):
    """What is asked of a feed's settings."""

    @property
    def name(self) -> str: ...
    @property
    def synthetic(self) -> bool: ...
    @property
    def symbols(self) -> tuple[SymbolSettings, ...]: ...
    def keyless_connector(self) -> Connector: ...


class Contradiction(NamedTuple):
    """Two feeds that say different things of one symbol."""

    first: str
    second: str
    symbol: str
    """As the ticks carry it."""
    setting: str
    values: tuple[str, str]
    both_ran_before: bool
    """Whether both have run on this machine before version 0.2.0, which was the first to refuse this."""

    def __str__(self) -> str:
        return (
            f"feeds '{self.first}' and '{self.second}' say different things of {self.symbol}: {self.setting} is "
            f"{self.values[0]} in the one and {self.values[1]} in the other"
        )

    @property
    def remedy(self) -> str:
        """What to write into feeds.yaml."""
        return f"Give {self.setting} of {self.symbol} the same value in both, or leave it out in one."


def contradictions(feeds: Iterable[Feed]) -> list[Contradiction]:
    """Where two feeds, primary or not, say different things of one symbol.

    A synthetic and a live feed do not contradict each other: no database holds the ticks of both.
    """
    said: dict[tuple[bool, str], list[tuple[str, dict[str, Any]]]] = {}
    for feed in feeds:
        connector = feed.keyless_connector()
        for item in feed.symbols:
            if facts := item.facts():
                said.setdefault((feed.synthetic, connector.symbol_of(item.symbol)), []).append((feed.name, facts))
    return [
        Contradiction(
            one,
            other,
            symbol,
            setting,
            (_as_text(ones[setting]), _as_text(others[setting])),
            ran_before_0_2(one) and ran_before_0_2(other),
        )
        for (_, symbol), of_feeds in said.items()
        for (one, ones), (other, others) in itertools.combinations(of_feeds, 2)
        for setting in FACTS
        if one != other and setting in ones and setting in others and ones[setting] != others[setting]
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        lots = [f"{lot:g}" if day == ALWAYS_VALID else f"{day}: {lot:g}" for day, lot in value.items()]
        return lots[0] if list(value) == [ALWAYS_VALID] else "{" + ", ".join(lots) + "}"
    return str(value)
