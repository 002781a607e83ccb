"""Which events of a successor are its predecessor's, by their order.

Both are sent the same events in the same order, of each symbol at least. So the successor's first events are the
predecessor's last ones. That needs no clock: arrivals do not tell what both were sent while one of the two processes
reads late, because its machine is busy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_LAG = 10.0
"""Seconds by which an event may reach one connection later than the other."""

MAX_LAG_NS = round(MAX_LAG * 1e9)

ENOUGH = 2
"""Different events of one symbol whose order shows that they are the same ones on both connections."""

_TELLING = 10
"""Events of a symbol after which it is known whether equal ones come twice."""

_MAX_TRIES = 200
"""Places of a symbol's first event that are tried: beyond, its events are too much alike to tell."""

Key = tuple[Any, ...]
"""Symbol, time and values of an event."""


class Event(NamedTuple):
    """An event that one of the two received."""

    key: Key
    arrival: int
    """In nanoseconds."""


class Aligned(NamedTuple):
    """What the order tells."""

    common: dict[str, int]
    """By symbol, how many of the successor's first events the predecessor has; of the symbols of which it tells."""
    missing: int
    """Events of these symbols, at the predecessor's end, that the successor has not received."""
    lags: list[int]
    """By how many nanoseconds later events reached the successor."""


class _Symbol(NamedTuple):
    places: list[int]
    """Of the predecessor's events of the symbol among those of all symbols."""
    starts: list[int]
    """Where in them the successor's events may begin."""
    received: int
    """How many of them the successor received."""


def align(before: Sequence[Event], after: Sequence[Event]) -> Aligned | None:
    """Compare what the predecessor and the successor received, each in its order; None if the order tells nothing."""
    theirs: dict[str, list[Event]] = defaultdict(list)
    places: dict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(before):
        theirs[event.key[0]].append(event)
        places[event.key[0]].append(place)
    ours: dict[str, list[Event]] = defaultdict(list)
    for event in after:
        ours[event.key[0]].append(event)
    symbols = {
        symbol: _Symbol(places[symbol], _starts(each, ours.get(symbol, [])), len(ours.get(symbol, [])))
        for symbol, each in theirs.items()
    }
    sure = {
        symbol: each.starts[0]
        for symbol, each in symbols.items()
        if len(each.starts) == 1
        and len({event.key for event in theirs[symbol][each.starts[0] :][: each.received]}) >= ENOUGH
    }
    if not sure:
        return None

    # The successor's subscription lies before what it was sent first, and after what it was not sent.
    sent = min(symbols[symbol].places[start] for symbol, start in sure.items())
    not_sent = max((symbols[symbol].places[start - 1] + 1 for symbol, start in sure.items() if start), default=0)
    earliest, latest = min(sent, not_sent), max(sent, not_sent)
    common: dict[str, int] = {symbol: 0 for symbol in ours if symbol not in theirs}
    missing = 0
    lags: list[int] = []
    for symbol, each in symbols.items():
        end = len(each.places)
        starts = [sure[symbol]] if symbol in sure else _between(each, earliest, latest)
        if len(starts) != 1:
            continue
        (start,) = starts
        common[symbol] = min(end - start, each.received)
        missing += end - start - common[symbol]
        pairs = zip(theirs[symbol][start:], ours.get(symbol, []), strict=False)
        lags += [received.arrival - known.arrival for known, received in pairs]
    return Aligned(common, missing, lags)


def align_distinct(before: Sequence[Event], after: Sequence[Event]) -> tuple[int, int] | None:
    """How many of the successor's first events of one symbol the predecessor has, and how many are missing.

    For a symbol that never sends two equal events; one event is enough then. None if equal ones came, if too few came
    to know that, or if the order does not fit.
    """
    if len(before) < _TELLING or any(len({event.key for event in each}) < len(each) for each in (before, after)):
        return None
    starts = _starts(before, after)
    if not starts:
        return None
    common = min(len(before) - starts[0], len(after))
    return common, len(before) - starts[0] - common


def _starts(theirs: Sequence[Event], ours: Sequence[Event]) -> list[int]:
    """The indexes from which on the predecessor's events of a symbol are the successor's first ones."""
    if not ours:
        return []
    keys, wanted = [event.key for event in theirs], [event.key for event in ours]
    places = [place for place, key in enumerate(keys) if key == wanted[0]]
    if len(places) > _MAX_TRIES:
        return []
    return [
        place
        for place in places
        if (size := min(len(keys) - place, len(wanted)))
        and keys[place : place + size] == wanted[:size]
        and all(abs(ours[at].arrival - theirs[place + at].arrival) <= MAX_LAG_NS for at in (0, size - 1))
    ]


def _between(symbol: _Symbol, earliest: int, latest: int) -> list[int]:
    """The places of `starts`, and the end, that fit a subscription between two places among all symbols' events."""
    end = len(symbol.places)
    starts = symbol.starts if symbol.received else range(end)
    return [
        start
        for start in (*starts, end)
        if (start == 0 or symbol.places[start - 1] < latest) and (start == end or symbol.places[start] >= earliest)
    ]
