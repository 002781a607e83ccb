"""The events that the market made, and the connections that each was sent on. Without I/O."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from itertools import islice

from ticks_standin.account import MadeEvent, MadeEvents
from ticks_standin.market.events import Event

_MS = 1_000_000
_SLACK = 1.1
_STEP = 7_919


def _time_ns(event: Event) -> int:
    return event.time_ns


class History:
    """The last events of the market by topic, in the order of their own times, and the numbers sent by connection.

    REST and the account of undelivered events are computed from it alone: no fault of a connection changes it.
    """

    def __init__(self, events: int) -> None:
        """Keeps at least the last ``events`` events, and at most a tenth more; 0 keeps none."""
        self.kept = bool(events)
        """Whether there is a history at all."""
        self.forgotten = 0
        """How many events are no longer kept."""
        self.since_ms = now_ms()
        """Since when it is complete, in milliseconds of UNIX time."""
        self.limit = events
        """How many events it keeps at least."""
        self._last = 0
        self._by_topic: dict[Hashable, list[Event]] = {}
        self._sent: dict[int, array[int]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever kept."""
        return not self._last

    def keep(self, event: Event, made_ms: int, *, exact: bool = False) -> None:
        """Store an event made at ``made_ms`` (UNIX time); sets its number, and the nanoseconds of its time.

        REST gives times in nanoseconds, the WebSocket in whole milliseconds or seconds. Events of the same time get
        nanoseconds in the order in which they were made; an ``exact`` event has them already.
        """
        if not self.kept:
            return
        self._last += 1
        event.number, event.made_ms = self._last, made_ms
        made = self._by_topic.setdefault(event.topic, [])
        at = bisect_right(made, event.time_ns, key=_time_ns) if exact else self._distinguish(event, made)
        made.insert(at, event)
        if self._last - self.forgotten > self.limit * _SLACK:
            self._forget(self._last - self.limit)

    def _distinguish(self, event: Event, made: list[Event]) -> int:
        """Give an event its nanoseconds; returns its place among those of its topic."""
        end = event.time_ns + _MS - 1
        event.time_ns += self._last * _STEP % 400_000
        at = len(made)
        if made and made[-1].time_ns > end:
            at = bisect_right(made, end, key=_time_ns)
        if at and made[at - 1].time_ns >= event.time_ns:
            event.time_ns = min(made[at - 1].time_ns + 1, end)
        return at

    def _forget(self, number: int) -> None:
        self.forgotten = number
        gone = (event.made_ms for made in self._by_topic.values() for event in made if event.number <= number)
        self.since_ms = max(self.since_ms, max(gone, default=0) + 1)
        for topic, made in self._by_topic.items():
            self._by_topic[topic] = [event for event in made if event.number > number]
        kept = (
            (connection, array("Q", (each for each in sent if each > number)))
            for connection, sent in self._sent.items()
        )
        self._sent = {connection: sent for connection, sent in kept if sent}

    def sent(self, connection: int, numbers: Sequence[int]) -> None:
        """Store the numbers of events that were handed to the transport of a connection."""
        if self.kept and numbers:
            self._sent.setdefault(connection, array("Q")).extend(numbers)

    def between(self, topic: Hashable, begins_ns: int, ends_ns: int) -> list[Event]:
        """The events of a topic whose own times are in a half-open interval, in nanoseconds of UNIX time."""
        made = self._by_topic.get(topic, [])
        return made[bisect_left(made, begins_ns, key=_time_ns) : bisect_left(made, ends_ns, key=_time_ns)]

    def last(self, topic: Hashable) -> Event | None:
        """The latest event of a topic."""
        made = self._by_topic.get(topic)
        return made[-1] if made else None

    def correctable(self, topic: Hashable, number: int) -> list[Event]:
        """The last ``number`` trades of a topic that count in bars, and were not corrected, in the order of time."""
        made = (event for event in reversed(self._by_topic.get(topic, [])) if event.sets and event.price is not None)
        return list(islice((event for event in made if event.amendment is None), number))[::-1]

    def account(self, channels: Sequence[str], begins_ms: int, ends_ms: int, *, payloads: bool) -> MadeEvents:
        """The events made in a half-open interval, in the order of making; of all channels if none is named."""
        chosen = [
            event
            for made in self._by_topic.values()
            for event in made
            if not event.record and begins_ms <= event.made_ms < ends_ms and (not channels or event.is_of(channels))
        ]
        sent_on: dict[int, list[int]] = {event.number: [] for event in chosen}
        for connection, numbers in self._sent.items():
            for number in set(numbers):
                if number in sent_on:
                    sent_on[number].append(connection)
        return MadeEvents(
            events=[
                MadeEvent(
                    number=event.number,
                    name=event.name,
                    symbol=event.symbol,
                    listing=event.listing or event.symbol,
                    made_ms=event.made_ms,
                    time_ns=event.time_ns,
                    sent_on=sorted(sent_on[event.number]),
                    payload=event.payload if payloads else b"",
                    correction=event.amendment.code if event.amendment else 0,
                )
                for event in sorted(chosen, key=lambda event: event.number)
            ],
            forgotten=self.forgotten,
        )


def now_ms() -> int:
    """Milliseconds of UNIX time."""
    return time.time_ns() // _MS
