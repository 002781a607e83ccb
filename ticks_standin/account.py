"""The account that the stand-in keeps: what it made, what it sent, to whom, and what it was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from http import HTTPStatus
from itertools import groupby
from typing import Any, Literal

import msgspec

Ending = Literal["closed", "aborted", "lost"]


class ConnectionAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection was sent. A frame counts once it is handed to the transport.

    What the client received is a prefix of it: all of it if it read until now, or up to the close frame of a connection
    that was ``closed`` by a closing handshake; possibly less if the stand-in ``aborted`` the connection or it was
    ``lost`` (the client vanished).

    ``events`` counts the market's events by channel and symbol, as ``price.AAPL``, ``price.RY:TSX`` (the listing that
    the bare symbol does not mean) or ``T.AAPL``, ``price_events``
    all of them and ``symbols`` those of each symbol. Events sent a second time and malformed ones are not among them:
    ``odd`` counts these, and frames that were replayed, by kind and then by event or by kind of malformation. Its other
    kinds (late, future, reordered, fractional) count those among ``events`` that are so. If the stand-in records,
    ``sent`` holds the payload of every frame in the order of sending, and ``malformed`` that of each malformed event or
    frame.
    """

    number: int
    provider: str = "twelve_data"
    ending: Ending | None
    subscribed: list[str]
    frames: int
    price_events: int
    symbols: dict[str, int]
    events: dict[str, int] = {}
    odd: dict[str, dict[str, int]] = {}
    sent: list[bytes]
    malformed: list[bytes] = []

    def duplicates(self) -> int:
        """How many events were sent a second time."""
        return sum(self.odd.get("duplicate", {}).values())

    def price_events_sent(self) -> list[dict[str, Any]]:
        """Twelve Data's recorded price events, decoded, in the order of sending, duplicates too.

        Injected frames are not among them unless they are price events in JSON themselves.
        """
        return self.events_sent("price")

    def events_sent(self, *channels: str) -> list[dict[str, Any]]:
        """The recorded events of these channels, decoded, in the order of sending.

        A channel is the ``ev`` of Polygon's events, and the ``event`` of Twelve Data's. Events that are malformed, but
        JSON objects with a channel, and duplicates are among them.
        """
        events = []
        for payload in self.sent:
            try:
                decoded = msgspec.json.decode(payload)
            except msgspec.DecodeError:
                continue
            for event in decoded if isinstance(decoded, list) else [decoded]:
                if isinstance(event, dict):
                    channel = event.get("ev", event.get("event"))
                    if channel in channels:
                        events.append(event)
        return events


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections since the start were sent.

    ``connections`` lists the open connections and the last 1,000 that ended, oldest first; the totals include all.
    ``price_events``, ``symbols`` and ``events`` count what the market made; injected and replayed frames count as
    ``frames`` only. ``ticks`` counts the ticks that were made; bars are not among them.
    """

    ticks: int
    frames: int
    price_events: int
    symbols: dict[str, int]
    events: dict[str, int] = {}
    odd: dict[str, dict[str, int]] = {}
    connections: list[ConnectionAccount]


class MadeEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event that the market made, whether anybody was subscribed or not.

    ``name`` is channel and symbol as in the counts of the account: ``price.RY`` for the listing that the bare symbol
    means, ``price.RY:TSX`` for another; ``listing`` is the symbol with its exchange for either, if Twelve Data has one
    for it, and else the symbol. ``made_ms`` is the time at which it was made and
    ``time_ns`` its own, both of UNIX time; they differ for an event that is late or of the future on purpose.
    ``sent_on`` lists the connections whose transport it was handed to. ``number`` counts events in the order of making.
    ``correction`` is the code of a trade that was taken back or corrected since, as Polygon's REST API has it.
    """

    number: int
    name: str
    symbol: str
    listing: str
    made_ms: int
    time_ns: int
    sent_on: list[int]
    payload: bytes = b""
    correction: int = 0

    def decoded(self) -> dict[str, Any]:
        """The event itself. Only if payloads were asked for."""
        event: dict[str, Any] = msgspec.json.decode(self.payload)
        return event


class Undelivered(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive events of one channel, none of which was sent.

    ``first_ms`` and ``last_ms`` are the times of the first and the last of them, ``after_ms`` and ``before_ms`` those
    of the events that were sent before and after; None if there was none. All are times of making. The gap of a client
    begins after ``after_ms`` and at ``first_ms`` at the latest; it ends at ``last_ms`` at the earliest, and before
    ``before_ms``.
    """

    name: str
    symbol: str
    listing: str
    after_ms: int | None
    first_ms: int
    last_ms: int
    before_ms: int | None
    numbers: list[int]


class MadeEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Events that the market made, in the order of making; ``forgotten`` counts all that are no longer kept."""

    events: list[MadeEvent]
    forgotten: int

    def undelivered(self, connections: Collection[int] | None = None) -> list[Undelivered]:
        """The events that were sent on none of these connections, or on no connection; by channel, then by time."""
        by_name: dict[str, list[MadeEvent]] = {}
        for event in self.events:
            by_name.setdefault(event.name, []).append(event)
        found = []
        for _, events in sorted(by_name.items()):
            runs = [(sent, list(run)) for sent, run in groupby(events, lambda event: _is_sent(event, connections))]
            for place, (sent, run) in enumerate(runs):
                if not sent:
                    found.append(
                        Undelivered(
                            name=run[0].name,
                            symbol=run[0].symbol,
                            listing=run[0].listing,
                            after_ms=runs[place - 1][1][-1].made_ms if place else None,
                            first_ms=run[0].made_ms,
                            last_ms=run[-1].made_ms,
                            before_ms=runs[place + 1][1][0].made_ms if place + 1 < len(runs) else None,
                            numbers=[event.number for event in run],
                        )
                    )
        return found


def _is_sent(event: MadeEvent, connections: Collection[int] | None) -> bool:
    return bool(event.sent_on if connections is None else set(event.sent_on) & set(connections))


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One REST request and its answer.

    ``subject`` is what was asked for without the interval, as ``/v3/trades/AAPL``; empty if it was refused. ``asked``
    is the query without the key; for a following page, that of the first page. ``begins_ns`` and ``ends_ns`` are the
    half-open interval asked for; for a following page, what is left of it. ``first_ns`` and ``last_ns`` are the times
    of the first and last of the ``results``. Nanoseconds of UNIX time; the time of a bar is that of its beginning.
    ``fault`` is the fault of the answer on command.
    """

    number: int
    at_ms: int
    provider: str
    path: str
    subject: str
    asked: dict[str, str]
    status: int
    fault: str = ""
    results: int = 0
    begins_ns: int | None = None
    ends_ns: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None


def fetched_twice(requests: Iterable[RestRequest]) -> list[tuple[RestRequest, RestRequest]]:
    """Pairs of answers without faults on one subject whose results lie in overlapping intervals."""
    answers = [each for each in requests if each.results and each.status == HTTPStatus.OK and not each.fault]
    answers.sort(key=lambda each: (each.subject, each.first_ns or 0))
    pairs = []
    for _, group in groupby(answers, lambda each: each.subject):
        widest: RestRequest | None = None
        for answer in group:
            if widest is not None and (answer.first_ns or 0) <= (widest.last_ns or 0):
                pairs.append((widest, answer))
            if widest is None or (answer.last_ns or 0) > (widest.last_ns or 0):
                widest = answer
    return pairs
