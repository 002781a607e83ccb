"""Frames in, events out: what holds for the decoding of every connector."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ticks_platform.feeds.connector import Connector, Reaction
from ticks_platform.feeds.events import (
    Bar,
    Control,
    Correction,
    Event,
    OfficialPrice,
    Quote,
    Rejected,
    Tick,
    TradingHalt,
)

KINDS = (Tick, Quote, Bar, OfficialPrice, Correction, TradingHalt, Control, Rejected)

_NUMBERS = {
    Tick: ("price", "size", "day_volume", "bid", "ask"),
    Quote: ("bid", "bid_size", "ask", "ask_size"),
    Bar: ("open", "high", "low", "close", "volume", "average_price"),
    OfficialPrice: ("price", "size"),
}
_TIMES = ("time", "start_time", "end_time")
_TEXTS = ("symbol", "exchange", "trade_id")

_NOISE = (
    *(b"", b" ", b"\x00", b"\xff\xfe", b"not json", b"null", b"true", b"0", b'""', b"[]", b"[[]]", b"{}", b"[{}]"),
    *(b"[null]", b"[1,2]", b"[" * 100_000, b'{"a":' * 3000, b"\xef\xbb\xbf{}", b"<html>502 Bad Gateway</html>"),
)
_ODD = (
    *("null", "true", "0", "-1", "1e400", "NaN", "-Infinity", "[]", "{}", '""', '"NaN"', '"-inf"', '"1e999"'),
    *('"N/A"', '"\\u0000"', '"\\ud800"', "9" * 400, "9223372036854775808", '"yesterday"', '[{"a":[]}]'),
)
"""JSON texts of values that a field may have one day."""

_ZONES = ("XXX-5:30", "XXX+8")
"""Far from each other and from UTC, in a form that needs no database of zones."""

_PLACE = "a value that is replaced"
_MOST_PLACES = 40


def events(connector: Connector, frames: Iterable[bytes]) -> list[Event]:
    """The events of frames, in order. Raises what the connector raises, which it must not."""
    return [event for frame in frames for event in connector.decode(frame)]


def damaged(frame: bytes) -> Iterator[bytes]:
    """Frames that are almost this one, and noise: cut off, doubled, with each value replaced, left out or repeated."""
    yield from _NOISE
    for end in sorted({1, len(frame) // 3, len(frame) // 2, len(frame) - 1}):
        yield frame[:end]
    yield frame + frame
    yield b" \n" + frame
    yield frame.replace(b'"', b"\xff")
    try:
        whole = [json.loads(frame)]
    except ValueError:
        return
    for holder, at in list(_places(whole))[:_MOST_PLACES]:
        value = holder[at]
        holder[at] = _PLACE
        text = json.dumps(whole[0])
        for odd in _ODD:
            yield text.replace(f'"{_PLACE}"', odd).encode()
        if isinstance(holder, dict):
            del holder[at]
            yield json.dumps(whole[0]).encode()
        holder[at] = value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for at in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, at
        if isinstance(value[at], dict | list):
            yield from _places(value[at])


def identity(tick: Tick) -> tuple[Any, ...]:
    """By what a trade that comes again is recognised."""
    if tick.trade_id is not None:
        return (tick.symbol, tick.exchange, tick.trade_id)
    return (tick.symbol, tick.exchange, tick.time, tick.price, tick.size)


def check_event(event: Event, frame: bytes) -> None:
    """Check that an event can be stored. Raises AssertionError."""
    assert isinstance(event, KINDS), f"decode returned {type(event).__name__}, which is no event, of {_shown(frame)}"
    if isinstance(event, Rejected):
        assert event.reason, f"rejected without a reason: {_shown(frame)}"
        assert isinstance(event.raw, bytes), f"a rejected event without its bytes: {_shown(frame)}"
        return
    for name in _NUMBERS.get(type(event), ()):
        value = getattr(event, name)
        is_number = isinstance(value, float | int)
        assert value is None or (is_number and math.isfinite(value)), (
            f"{type(event).__name__}.{name} is {value!r} of {_shown(frame)}: only finite numbers can be stored"
            + ("" if is_number else f"; make a float of the {type(value).__name__}")
        )
    assert not isinstance(event, Tick) or event.price is not None, f"a tick without a price of {_shown(frame)}"
    for name in _TIMES:
        value = getattr(event, name, 0)
        assert type(value) is int, (
            f"{type(event).__name__}.{name} is {value!r}, a {type(value).__name__}: times are whole nanoseconds since "
            "the Unix epoch (an int); ticks_platform.connectors.to_nanoseconds makes one of a datetime with a time zone"
        )
    for name in _TEXTS:
        value = getattr(event, name, None)
        assert value is None or isinstance(value, str), (
            f"{type(event).__name__}.{name} is {value!r}, which is no text: make a str of it"
        )


def check_frame(connector: Connector, frame: bytes) -> list[Event]:
    """The events of a frame, good or bad, after checks that hold for any. Raises AssertionError."""
    try:
        found = connector.decode(frame)
    except Exception as error:
        raise AssertionError(f"decode raised {error!r} for {_shown(frame)}: it must reject what it cannot") from error
    assert isinstance(found, list), (
        f"decode returned {found!r}, a {type(found).__name__}, of {_shown(frame)}: it must return a list"
    )
    is_empty = frame.translate(None, b" \n") == b"[]"
    assert found or is_empty, (
        f"no event of {_shown(frame)}: each byte is accounted for, as Control or Rejected if it is no data"
    )
    for event in found:
        check_event(event, frame)
    assert connector.decode(frame) == found, (
        f"decode gave other events the second time for {_shown(frame)}: its result may depend on the frame alone"
    )
    try:
        reaction = connector.converse().receive(frame)
    except Exception as error:
        raise AssertionError(
            f"receive raised {error!r} for {_shown(frame)}: it must return Reaction() for what it cannot read"
        ) from error
    assert isinstance(reaction, Reaction), f"receive returned {reaction!r} for {_shown(frame)}"
    return found


def check_many(connector: Connector, frames: Sequence[bytes]) -> None:
    """Check that frames have the same meaning together as one by one. Raises AssertionError."""
    together = connector.decode_many(frames)
    if together is not None:
        one_by_one = [connector.decode(frame) for frame in frames]
        assert list(together.counts) == [len(found) for found in one_by_one], "decode_many counts other events"
        found = together.events if isinstance(together.events, list) else together.events.ticks()
        assert list(found) == [event for part in one_by_one for event in part], "decode_many gives other events"
    conversation = connector.converse()
    read = set(conversation.to_read(frames))
    for place, frame in enumerate(frames):
        if place not in read:
            assert conversation.receive(frame) == Reaction(has_data=True), f"to_read leaves out {_shown(frame)}"


def check_zones(connector: Connector, frames: Iterable[bytes]) -> None:
    """Check that frames mean the same in each time zone of a machine. Raises AssertionError."""
    if not hasattr(time, "tzset"):
        return
    given = list(frames)
    expected = events(connector, given)
    former = os.environ.get("TZ")
    try:
        for zone in _ZONES:
            os.environ["TZ"] = zone
            time.tzset()
            for event, other in zip(expected, events(connector, given), strict=True):
                assert event == other, (
                    f"{event} is {other} on a machine in the zone {zone}: a datetime without a time zone is taken for "
                    "local time; give it one"
                )
    finally:
        if former is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = former
        time.tzset()


def _shown(frame: bytes) -> str:
    return repr(frame if len(frame) <= 300 else frame[:300] + b"...")
