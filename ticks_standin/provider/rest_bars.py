"""Bars as REST serves them: made of the events in the history when they are requested."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, tzinfo

import msgspec

from ticks_standin.market.events import ALL, RANGE, VOLUME, Event

FOREVER_NS = 2**63 - 1

_MS = 1_000_000

Window = Callable[[int], int]
"""Gives the beginning of the bar that a time is in; both in milliseconds of UNIX time."""


class RestBar(msgspec.Struct, gc=False):
    """One bar; ``start_ms`` in milliseconds of UNIX time, ``volume`` in 1/``UNITS`` of bars.py.

    ``bases`` counts the base bars with prices that it is made of; one without any has no prices and is not served.
    """

    start_ms: int
    open: float = 0.0
    high: float = -math.inf
    low: float = math.inf
    close: float = 0.0
    volume: int = 0
    turnover: float = 0.0
    events: int = 0
    bases: int = 0


def of_length(milliseconds: int) -> Window:
    """Bars of this length, counted from the epoch."""
    return lambda time_ms: time_ms - time_ms % milliseconds


def of_days(zone: tzinfo) -> Window:
    """Bars of one day, from midnight to midnight in a time zone."""

    def start(time_ms: int) -> int:
        local = datetime.fromtimestamp(time_ms / 1_000, zone)
        return to_ms(local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0))

    return start


def to_ms(moment: datetime) -> int:
    """Milliseconds of UNIX time."""
    return round(moment.timestamp() * 1_000)


def day_after(moment: datetime) -> datetime:
    """The same local time on the following day."""
    return moment + timedelta(days=1)


def is_served(end_ms: int, now_ms: int, *, delay_s: float, even_open: bool) -> bool:
    """Whether a bar is served: ``delay_s`` after its end; without a delay also an open one, if ``even_open``."""
    return end_ms + delay_s * 1_000 <= now_ms or (even_open and not delay_s)


def bars_of(
    events: Iterable[Event],
    window: Window,
    base: Window | None = None,
    *,
    of_day: bool = False,
    known_ns: int = FOREVER_NS,
) -> list[RestBar]:
    """The bars of events in the order of their times; events without a price are left out.

    Each bar is made of ``base`` bars, itself if None: a base bar has four prices if one of its trades may open and
    close it, and else none; its volume counts either way. Bars ``of_day`` follow the events' rules for the day, and
    close at the official close. Corrections count that were known at ``known_ns`` of UNIX time.
    """
    base = base or window
    bars: list[RestBar] = []
    closes: dict[int, tuple[int, float | None]] = {}
    part, last_second = RestBar(-1), -1
    for event in events:
        price, volume, sets = event.price, event.volume, event.sets_day if of_day else event.sets
        amendment = event.amendment
        if amendment is not None and amendment.known_ns <= known_ns:
            price, volume = amendment.price, amendment.volume
        if event.closes and of_day:
            day = window(event.time_ns // _MS)
            closes[day] = max(closes.get(day, (0, price)), (event.closes, price), key=lambda close: close[0])
        if price is None or sets < VOLUME:
            continue
        second = event.time_ns // (_MS * 1_000)
        if second != last_second:
            # Once a second only: a window may be costly to compute.
            start, last_second = base(event.time_ns // _MS), second
            if start != part.start_ms:
                _add(part, bars, window)
                part = RestBar(start)
        if sets == ALL:
            part.open = part.open if part.bases else price
            part.close, part.bases = price, 1
        if sets >= RANGE:
            part.high = max(part.high, price)
            part.low = min(part.low, price)
        part.volume += volume
        part.turnover += price * volume
        part.events += 1
    _add(part, bars, window)
    for bar in bars:
        close = closes.get(bar.start_ms, (0, None))[1]
        if close is not None:
            bar.close, bar.high, bar.low = close, max(bar.high, close), min(bar.low, close)
    return [bar for bar in bars if bar.bases]


def _add(part: RestBar, bars: list[RestBar], window: Window) -> None:
    if not part.events:
        return
    start = window(part.start_ms)
    if not bars or bars[-1].start_ms != start:
        bars.append(RestBar(start))
    bar = bars[-1]
    bar.volume += part.volume
    bar.turnover += part.turnover
    bar.events += part.events
    if part.bases:
        bar.open = bar.open if bar.bases else part.open
        bar.high = max(bar.high, part.high)
        bar.low = min(bar.low, part.low)
        bar.close = part.close
        bar.bases += 1
