"""Faults of a stream of events, and how they are injected: seeded, without I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from ticks_standin.market.events import Event
from ticks_standin.provider.session import Session

MalformedKind = Literal[
    "broken_json",
    "wrong_container",
    "scalar",
    "nul",
    "not_utf8",
    "empty",
    "huge",
    "null_field",
    "missing_field",
    "text_number",
    "unknown_event",
    "nested",
]
"""The first seven are frames of their own; the others are events among good ones, if a frame holds several."""

_WHOLE_FRAMES = ("broken_json", "wrong_container", "scalar", "nul", "not_utf8", "empty", "huge")
_TIMES_MS = ("t", "pt", "r", "s", "e", "trft")
_SHARES = (
    "duplicate",
    "duplicate_after_reconnect",
    "reorder_within",
    "reorder_across",
    "late",
    "future",
    "malformed",
    "fractional",
)


class StreamFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The faults of a connection's stream. Every rate is a share from 0 to 1; the seed decides which events.

    ``duplicate``: events that are sent once more, identically, half of them in the same frame if it holds several.
    ``duplicate_after_reconnect``: share of the last 200 events of a connection that the next connection with its key
    gets again. ``reorder_within``: frames whose events are shuffled. ``reorder_across``: events that are sent in a
    later frame. ``late`` and ``future``: events stamped up to ``late_by_s`` seconds too early or ``future_by_s`` too
    late; bars are made of them only if the faults are those of all connections. ``malformed``: malformed events of
    ``malformed_kinds``, besides the good ones, as a share of these; ``huge_bytes`` is the size of huge ones.
    ``fractional``: price events with a fractional day volume, and, on all connections only, Polygon's stock trades of
    fractional size.

    Raises:
        ValueError: on construction, if a rate is not a share, or a kind is unknown.
    """

    seed: int = 0
    duplicate: float = 0.0
    duplicate_after_reconnect: float = 0.0
    reorder_within: float = 0.0
    reorder_across: float = 0.0
    late: float = 0.0
    late_by_s: float = 120.0
    future: float = 0.0
    future_by_s: float = 16.0
    malformed: float = 0.0
    malformed_kinds: tuple[MalformedKind, ...] = get_args(MalformedKind)
    huge_bytes: int = 2_000_000
    fractional: float = 0.0

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        unknown = set(self.malformed_kinds) - set(get_args(MalformedKind))
        if unknown or not self.malformed_kinds:
            raise ValueError(f"malformed_kinds must be some of {', '.join(get_args(MalformedKind))}")

    def without_times(self) -> StreamFaults:
        """The same for a connection whose events already have wrong times."""
        return msgspec.structs.replace(self, late=0.0, future=0.0)

    def shift_ms(self, rng: random.Random) -> tuple[int, str]:
        """By how many milliseconds the time of an event is wrong, and what that makes it: late, future, or neither."""
        chance = rng.random()
        if chance < self.late:
            return -max(int(rng.random() * self.late_by_s * 1_000), 1), "late"
        if chance < self.late + self.future:
            return max(int(rng.random() * self.future_by_s * 1_000), 1), "future"
        return 0, ""


class Frame(NamedTuple):
    """A frame to send; ``names`` are those of its good events, ``odd`` counts the others in the account.

    ``numbers`` are those of its events in the history, repeated ones included.
    """

    payload: bytes
    names: list[str]
    odd: list[tuple[str, str]]
    malformed: list[bytes]
    text: bool = True
    numbers: Sequence[int] = ()


class _Item(NamedTuple):
    payload: bytes
    name: str
    number: int
    odd: tuple[tuple[str, str], ...] = ()


class FaultInjector:
    """Makes the frames of one connection, with faults."""

    def __init__(self, faults: StreamFaults, session: Session, salt: int) -> None:
        """``salt`` makes connections differ."""
        self._faults = faults
        self._session = session
        self._random = random.Random(f"{faults.seed}/{salt}")  # noqa: S311
        self._later: list[_Item] = []

    def repeat(self, events: Iterable[Event]) -> None:
        """Send a share of these events of an earlier connection again, with the next frames."""
        for event in events:
            if self._random.random() < self._faults.duplicate_after_reconnect and self._session.is_subscribed_to(
                event.topic
            ):
                self._later.append(_again(_Item(event.payload, event.name, event.number)))

    def frames(self, events: Sequence[Event]) -> list[Frame]:
        """The frames of these events, with faults, and those of events that were held back before."""
        faults, chance = self._faults, self._random.random
        released, self._later = self._later, []
        now: list[_Item] = []
        for event in events:
            item = self._altered(event)
            if chance() < faults.duplicate:
                if chance() < 0.5:
                    now.append(item)
                    now.append(_again(item))
                    continue
                self._later.append(_again(item))
            if chance() < faults.reorder_across:
                self._later.append(item._replace(odd=(*item.odd, ("reordered", item.name))))
            else:
                now.append(item)
        made: list[Frame] = []
        for items in (now, released):
            made += self._bundled(items)
        for event in events:
            if chance() < faults.malformed:
                self._spoil(made, event)
        return made

    def released(self) -> list[Frame]:
        """The frames of the events that are held back."""
        held, self._later = self._later, []
        return self._bundled(held)

    def _altered(self, event: Event) -> _Item:
        shift, odd = self._faults.shift_ms(self._random)
        payload, marks = event.payload, []
        if event.odd:
            marks.append((event.odd, event.name))
        if odd and not event.odd:
            payload = restamped(payload, shift)
            marks.append((odd, event.name))
        if self._random.random() < self._faults.fractional and event.name.startswith("price."):
            payload = _edited(payload, _fractional_day_volume)
            marks.append(("fractional", event.name))
        return _Item(payload, event.name, event.number, tuple(marks))

    def _bundled(self, items: list[_Item]) -> list[Frame]:
        made, position = [], 0
        for size in self._session.batches(len(items)):
            part = items[position : position + size]
            position += size
            odd = [mark for item in part for mark in item.odd]
            if size > 1 and self._random.random() < self._faults.reorder_within:
                self._random.shuffle(part)
                odd += [("reordered", item.name) for item in part if item.name]
            names = [item.name for item in part if item.name]
            payload = self._session.wrap([item.payload for item in part])
            made.append(Frame(payload, names, odd, [], numbers=[item.number for item in part]))
        return made

    def _spoil(self, made: list[Frame], event: Event) -> None:
        kind = self._random.choice(self._faults.malformed_kinds)
        payload = _malformed(kind, event.payload, self._session, self._faults.huge_bytes)
        odd: list[tuple[str, str]] = [("malformed", kind)]
        at = self._random.randrange(len(made) + 1)
        if kind in _WHOLE_FRAMES or self._session.provider != "polygon":
            made.insert(at, Frame(payload, [], odd, [payload], text=kind != "nul"))
        elif at == len(made):
            made.append(Frame(self._session.wrap([payload]), [], odd, [payload]))
        else:
            frame = made[at]
            # Before the last bracket: the good events around it are as good as before.
            whole = frame.payload[:-1] + b"," + payload + b"]"
            if frame.payload[:1] != b"[" or any(mark[0] == "malformed" for mark in frame.odd):
                made.append(Frame(self._session.wrap([payload]), [], odd, [payload]))
            else:
                made[at] = frame._replace(payload=whole, odd=[*frame.odd, *odd], malformed=[payload])


def restamped(payload: bytes, shift_ms: int) -> bytes:
    """An event of either provider with its times shifted."""

    def move(event: dict[str, Any]) -> None:
        if isinstance(event.get("timestamp"), int):
            event["timestamp"] += shift_ms // 1_000
        bar = "e" in event and "o" in event
        for name in _TIMES_MS if "ev" in event else ():
            # In a trade s is its size, in a bar the start of its window.
            if isinstance(event.get(name), int) and (name not in ("s", "e") or bar):
                event[name] += shift_ms

    return _edited(payload, move)


def _again(item: _Item) -> _Item:
    return _Item(item.payload, "", item.number, (("duplicate", item.name),))


def _edited(payload: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    event = msgspec.json.decode(payload)
    edit(event)
    return msgspec.json.encode(event)


def _fractional_day_volume(event: dict[str, Any]) -> None:
    if "day_volume" in event:
        event["day_volume"] += 0.251


def _malformed(kind: str, payload: bytes, session: Session, huge_bytes: int) -> bytes:
    event = msgspec.json.decode(payload)
    price = next((name for name in ("price", "p", "bp", "o", "val", "b") if name in event), "price")
    discriminator = "ev" if "ev" in event else "event"
    match kind:
        case "broken_json":
            return session.wrap([payload])[: -max(len(payload) // 3, 2)]
        case "wrong_container":
            return payload if session.provider == "polygon" else b"[" + payload + b"]"
        case "scalar":
            return b"42"
        case "nul":
            return b"\x00" * 16 + payload
        case "not_utf8":
            return session.wrap([payload]) + b"\xff\xfe"
        case "empty":
            return b""
        case "huge":
            return session.wrap([payload[:-1] + b',"padding":"' + b"x" * huge_bytes + b'"}'])
        case "null_field":
            event[price] = None
        case "missing_field":
            event.pop(price, None)
        case "text_number":
            event[price] = "a lot"
        case "unknown_event":
            event[discriminator] = "ZZTOP"
        case "nested":
            event[price] = {"value": [event.get(price)]}
    return msgspec.json.encode(event)
