"""What a trade of a US stock may change in bars, by its conditions.

Source of the facts: ``/v3/reference/conditions?asset_class=stocks``, the rules of the consolidated tape, and
massive.com's knowledge base on Form T. Written as sets of ids for this package alone: who is proved against its bars
has a table of their own.
"""

from __future__ import annotations

from functools import lru_cache

from ticks_standin.market.events import ALL, NOTHING, RANGE, VOLUME

FORM_T = 12
OUT_OF_SEQUENCE_EXTENDED = 13
OFFICIAL_CLOSE, OFFICIAL_OPEN = 15, 16
LATE = 32
ODD_LOT = 37
CORRECTED_CLOSE = 38

# Average price, cash, extended hours out of sequence, next day, price variation, seller, odd lot, contingent twice.
_VOLUME_ONLY = frozenset({2, 7, 13, 20, 21, 29, 37, 52, 53})
# Late, or priced elsewhere: bunched sold, derivatively priced, prior reference price, sold out of sequence twice.
_NO_OPEN_OR_CLOSE = frozenset({5, 10, 22, 32, 33})
# Official prices repeat a trade that was sent already; a corrected close belongs to the day, and to no minute of it.
_NO_TRADE = frozenset({OFFICIAL_CLOSE, OFFICIAL_OPEN, CORRECTED_CLOSE})


@lru_cache(maxsize=4_096)
def in_a_minute(conditions: tuple[int, ...], regular: bool) -> int:
    """What a trade may change in bars within the day, of those that are ``regular`` or in extended hours.

    Of several conditions the strictest counts; an unknown one restricts nothing. In extended hours Form T does not
    either (massive.com's knowledge base); in regular hours it adds volume only.
    """
    given = set(conditions)
    if given & _NO_TRADE:
        return NOTHING
    if given & _VOLUME_ONLY or (regular and FORM_T in given):
        return VOLUME
    return RANGE if given & _NO_OPEN_OR_CLOSE else ALL


@lru_cache(maxsize=4_096)
def in_the_day(conditions: tuple[int, ...]) -> int:
    """What a trade may change in the bar of the day, in which Form T never forms a price."""
    return in_a_minute(conditions, True)
