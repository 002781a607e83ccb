"""Conditions of Alpaca's trades: letters of the SIPs, as the numbers that the rules of US stocks are written for.

Alpaca sends the letters of the tape's own SIP, and the same letter may mean two things: `B` is an average price on
CTA (tapes A and B), a bunched trade on UTP (tape C; OTC, tape O, follows it).

Sources: docs.alpaca.markets, «Real-time Stock Data» (`c` and `z`) and `/v2/stocks/meta/conditions/trade?tape=…`, of
which alpaca clients published the letters; the SIPs' own tables, in `letters` of sql/schema/trade_condition.csv.
Doubt: `E` and `8`, which both SIPs call placeholders, and `K`, which is NYSE's rule 127 or NYSE American's 155.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.us_stocks.conditions import Conditions, packaged_rules

REGULAR = frozenset((" ", "@", ""))
"""A regular sale, which is what a trade without conditions is."""

_BOTH = {
    **{"C": 7, "F": 14, "H": 21, "I": 37, "K": 23, "L": 30, "M": 15, "N": 20, "P": 22, "Q": 16, "R": 29, "T": 12},
    **{"U": 13, "V": 52, "X": 9, "Z": 32, "4": 10, "7": 53, "9": 38},
}
CTA = {**_BOTH, "B": 2, "E": 3, "G": 55, "O": 17, "5": 18, "6": 19}
"""Tapes A and B."""
UTP = {
    **_BOTH,
    **{"A": 1, "B": 4, "D": 11, "G": 5, "O": 25, "S": 34, "W": 2, "Y": 36, "1": 27, "2": 31, "3": 33, "5": 28, "6": 8},
}
"""Tape C, and others that are not CTA's."""

UNKNOWN = 1000
"""A letter without a number is this and its code, so that it is stored, restricts nothing, and the check
`conditions_are_known` names it: `E` of UTP is 1069."""

_LISTING = {"A": frozenset("N"), "B": frozenset("APZ"), "C": frozenset("Q")}
"""The exchanges that list the stocks of a tape: NYSE; NYSE American, NYSE Arca and Cboe BZX; Nasdaq.
Source: `/v2/stocks/meta/exchanges`, as clients published it, and the plans of the tapes."""

RULES = packaged_rules()


def read(raw: bytes, tape: object) -> Conditions:
    """The conditions of a trade as the provider sent them, in JSON. Never raises: odd ones lose no trade."""
    return _read(bytes(raw), tape in ("A", "B"))


@functools.lru_cache(maxsize=4096)
def _read(raw: bytes, is_cta: bool) -> Conditions:
    letters, is_malformed = _letters(raw)
    numbers = CTA if is_cta else UTP
    found = RULES.of(numbers.get(letter, UNKNOWN + ord(letter)) for letter in letters if letter not in REGULAR)
    if is_malformed:
        found.malformed = ("c",)
    return found


def is_listing(tape: object, exchange: str | None) -> bool:
    """Whether the exchange lists the symbol, by the tape that carries it."""
    return exchange in _LISTING.get(str(tape), ())


def _letters(raw: bytes) -> tuple[list[str], bool]:
    """The letters, and whether some could not be read."""
    try:
        value: Any = msgspec.json.decode(raw) if raw else None
    except UNDECODABLE:
        return [], True
    given = [] if value is None else list(value) if isinstance(value, list) else [value]
    letters = [each for each in given if isinstance(each, str) and each.isascii() and len(each) <= 1]
    return letters, len(letters) < len(given)
