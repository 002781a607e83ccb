"""`decode_many` returns the same events as `decode`, and columns behave like lists of ticks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from ticks_platform.feeds.columns import TickColumns, decode_lines
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

NOON = 1_700_000_000_000
CLOSE = 1_700_082_000_000

ODD_FRAMES = [
    b"",
    b" ",
    b"{",
    b"[",
    b"null",
    b"[]",
    b"[{}]",
    b"[][]",
    b"\xff",
    b"[" * 100_000,
    b'[{"ev":"T","sym":"A","p":1,\n"t":1700000000000}]',
    b'{"event":"heartbeat","status":"ok"}',
    b'[{"ev":"status","status":"connected"}]',
    b'[{"ev":"T","sym":"A","t":1700000000000}]',
    b'[{"ev":"Q","sym":"A","bp":1,"bs":2,"t":1700000000000}]',
    b'{"event":"price","symbol":"","timestamp":1700000000,"price":1}',
    b'{"event":"price","symbol":"A","timestamp":1700000000.25,"price":1}',
    b'{"event":"price","symbol":"A","timestamp":1700000000,"price":"NaN"}',
    b'{"price":1}\n{"price":1}',
]


def _price(seeded: random.Random) -> bytes:
    event = {
        "event": "price",
        "symbol": seeded.choice(["AAPL", "BTC/USD", "Ж"]),
        "timestamp": seeded.choice([NOON // 1000, 1, str(NOON // 1000)]),
        "price": seeded.choice([1, 2.5, "3.25", 1e300]),
    }
    for field, values in (("day_volume", [0, 7.9, 2**53, None]), ("bid", [1.5, None]), ("ask", [1.75, None])):
        if seeded.random() < 0.5:
            event[field] = seeded.choice(values)
    return json.dumps(event).encode()


def _trades(seeded: random.Random) -> bytes:
    trades = []
    for _ in range(seeded.randrange(5)):
        trade = {
            "ev": "T",
            "sym": seeded.choice(["AAPL", "MSFT"]),
            "p": seeded.choice([1, 2.5, "3.25"]),
            # Before and after 16:00 in New York.
            "t": CLOSE + seeded.choice([-2, -1, 0, 1]) if seeded.random() < 0.98 else 10**18,
        }
        for field, values in (
            ("s", [0, 100, None]),
            ("ds", ["0.251", None]),
            ("i", ["17", 17, "", 5000, None]),
            ("x", [4, 2000, "ARCA", None]),
            ("trfi", [202, None]),
            ("c", [[], [37], [14, 41], [12], [12, 37], [99], ["2", 70000, None], 10, None, "x"]),
            ("z", [1, 3, "3", None, [1]]),
        ):
            if seeded.random() < 0.6:
                trade[field] = seeded.choice(values)
        if seeded.random() < 0.005:
            trade["c"] = seeded.choice([[15], [16, 41], [38]])
        trades.append(trade)
    return json.dumps(trades).encode()


@pytest.mark.parametrize(
    ("connector", "make"),
    [
        (TwelveDataConnector(url="ws://nowhere", api_key="k"), _price),
        (PolygonConnector(url="ws://nowhere", api_key="k"), _trades),
    ],
)
def test_decode_many_equals_decode(connector: Connector, make: Callable[[random.Random], bytes]) -> None:
    seeded = random.Random(7)
    by_column = as_events = 0
    for _ in range(400):
        frames = [make(seeded) for _ in range(seeded.randrange(1, 12))]
        if seeded.random() < 0.3:
            frames.insert(seeded.randrange(len(frames) + 1), seeded.choice(ODD_FRAMES))
        expected = [connector.decode(frame) for frame in frames]
        decoded = connector.decode_many(frames)
        if decoded is None:
            as_events += 1
            continue
        by_column += isinstance(decoded.events, TickColumns)
        events = decoded.events.ticks() if isinstance(decoded.events, TickColumns) else decoded.events
        assert list(decoded.counts) == [len(events) for events in expected]
        assert events == [event for events in expected for event in events]
    assert min(by_column, as_events) > 50


def test_ordinary_frames_are_decoded_by_column() -> None:
    polygon = PolygonConnector(url="ws://nowhere", api_key="k")
    decoded = polygon.decode_many([b'[{"ev":"T","sym":"A","x":4,"i":"1","p":1.5,"s":2,"t":1700000000000,"trfi":201}]'])
    assert decoded is not None
    assert isinstance(decoded.events, TickColumns)
    assert decoded.events.exchange == ["4/201"]


TWO = [
    [b"1 2"],
    [b"1\n2", b""],
    [b"1\n2", b"3"],
    [b"[1", b"2]"],
    [b"1", b""],
    [b"", b"[][]"],
    [b"[][]", b" "],
    [b"[]", b"", b"[][]"],
    [b"[]", b"{}{}", b""],
    [b"", b"[]\n[]", b"[]"],
]
"""Frames of which one is not one value, though there are as many values as frames in some of them."""


@pytest.mark.parametrize("frames", TWO)
def test_decode_lines_requires_one_value_per_frame(frames: list[bytes]) -> None:
    assert decode_lines(msgspec.json.Decoder().decode_lines, frames) is None


def test_decode_lines_of_one_value_per_frame() -> None:
    assert decode_lines(msgspec.json.Decoder().decode_lines, [b"[]", b"[[1]]", b"[2]"]) == [[], [[1]], [2]]
    assert decode_lines(msgspec.json.Decoder().decode_lines, [b"{}", b'{"a":{}}']) == [{}, {"a": {}}]


def test_columns_behave_like_lists() -> None:
    ticks = [
        Tick("A", 1, 1.5, None, None, 1.0, None, None, None),
        Tick("B", 2, 2.5, 7, None, None, None, "4", "id"),
        Tick("A", 3, 3.5, None, 2.0, None, None, "4", None),
    ]
    columns = TickColumns.of(ticks)
    assert columns.ticks() == ticks
    assert columns.part(1, 3).ticks() == ticks[1:]
    assert columns.where(np.array([True, False, True])).ticks() == [ticks[0], ticks[2]]
    parts = [TickColumns.of(ticks[:1]), TickColumns.of(ticks[1:]), TickColumns.of([])]
    assert TickColumns.joined(parts).ticks() == ticks
