"""Optional fields that cannot be read are left out and counted; the price is stored."""

from __future__ import annotations

from typing import Any

import pytest

from ticks_platform.feeds.events import Event, Tick
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, price, rows, trade, unbalanced

AT = 1_772_568_000

COUNTS = "SELECT field, events FROM ticks_platform.malformed_field ORDER BY field"


def test_twelve_data(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    bad: list[dict[str, Any]] = [
        {"day_volume": ""},
        {"day_volume": "N/A"},
        {"day_volume": {}},
        {"bid": "NaN"},
        {"bid": "NaN", "day_volume": []},
    ]
    good: list[dict[str, Any]] = [{"day_volume": 1.3e19}, {"day_volume": None}, {"day_volume": 0.75}]
    frames = [price(timestamp=AT + place, **fields) for place, fields in enumerate([*bad, *good])]
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    loader = make_loader(take_lease("one"), frames, decode)
    loader.run()
    volumes = f"SELECT day_volume FROM stocks_real_time WHERE time <> to_timestamp({AT + 3}) ORDER BY time"
    assert rows(database, volumes) == [*[(None,)] * 4, (1.3e19,), (None,), (0.75,)]
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(len(frames),)]
    assert rows(database, COUNTS) == [("bid", 2), ("day_volume", 4)]
    assert loader.metrics.malformed == {"bid": 2, "day_volume": 4}
    assert unbalanced(database) == []


def test_texts_that_the_database_cannot_hold(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    events = [trade("1", at=AT), trade("2\0", at=AT + 1), trade("3", at=AT + 2, x="\0"), trade("4", at=AT + 3)]
    make_loader(take_lease("one"), [frame(*events)], polygon_events.decode).run()
    found = rows(database, "SELECT trade_id, exchange FROM stocks_real_time ORDER BY time")
    assert found == [("1", "4"), (None, "4"), ("3", None), ("4", "4")]
    assert rows(database, COUNTS) == [("exchange", 1), ("trade_id", 1)]
    assert unbalanced(database) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "much"},
        {"exchange": 7},
        {"trade_id": 7},
        {"bid": float("inf"), "size": []},
        {"conditions": ("x",)},
        {"conditions": 5},
        {"conditions": (1 << 20,)},
        {"updates": [7]},
    ],
    ids=repr,
)
def test_a_connector_of_ones_own(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, fields: dict[str, Any]
) -> None:
    at = AT * 10**9

    def decode(_frame: bytes) -> list[Event]:
        return [Tick("A", at, 1.0, size=1.0), Tick("A", at + 10**9, 2.0, **fields), Tick("A", at + 2 * 10**9, 3.0)]

    make_loader(take_lease("one"), [b"x" * 10], decode).run()
    assert rows(database, "SELECT price FROM stocks_real_time ORDER BY price") == [(1.0,), (2.0,), (3.0,)]
    assert rows(database, COUNTS) == [(name, 1) for name in sorted(fields)]
    assert unbalanced(database) == []
