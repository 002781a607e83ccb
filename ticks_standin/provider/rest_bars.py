"""Bars as REST serves them: made of the events in the history when they are requested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, tzinfo

import msgspec

from ticks_standin.market.events import Event

_MS = 1_000_000

Window = Callable[[int], int]
"""Gives the beginning of the bar that a time is in; both in milliseconds of UNIX time."""


class RestBar(msgspec.Struct, gc=False):
    """One bar; ``start_ms`` in milliseconds of UNIX time, ``volume`` in 1/``UNITS`` of bars.py."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: int = 0
    turnover: float = 0.0
    events: int = 0


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


def bars_of(events: Iterable[Event], window: Window) -> list[RestBar]:
    """The bars of events in the order of their times; events without a price are left out."""
    bars: list[RestBar] = []
    start, last_second = 0, -1
    for event in events:
        price = event.price
        if not price:
            continue
        second = event.time_ns // (_MS * 1_000)
        if second != last_second:
            # Once a second only: the window of a day is costly to compute.
            start, last_second = window(event.time_ns // _MS), second
        if not bars or bars[-1].start_ms != start:
            bars.append(RestBar(start, price, price, price, price))
        bar = bars[-1]
        bar.high = max(bar.high, price)
        bar.low = min(bar.low, price)
        bar.close = price
        bar.volume += event.volume
        bar.turnover += price * event.volume
        bar.events += 1
    return bars
