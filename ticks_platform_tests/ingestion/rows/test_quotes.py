"""Quotes, and frames with events of every kind."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from ticks_platform.feeds.events import Event, Quote
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.ingestion import audit, loader
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, trade, unbalanced

NOW = int(time.time()) // 3600 * 3600 - 1800


def quote(at: float = NOW, symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
    """A quote as Polygon sends it."""
    event = {"ev": "Q", "sym": symbol, "t": round(at * 1000), "bp": 99.5, "bs": 3, "ap": 100.5, "as": 4}
    return {**event, **fields}


def bar(at: float, **fields: Any) -> dict[str, Any]:
    """A minute bar as Polygon sends it."""
    event = {"ev": "AM", "sym": "AAPL", "s": round(at * 1000), "e": round(at * 1000) + 60_000, "o": 1, "c": 2}
    return {**event, **fields}


def test_quotes_with_both_sides_and_with_one(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    sent = frame(
        quote(),
        quote(bp=0, bs=0),
        quote(ap=None),
        {"ev": "Q", "sym": "MSFT", "t": NOW * 1000},
        {"ev": "XQ", "pair": "BTC-USD", "t": NOW * 1000, "bp": 1, "bs": 2, "ap": 3, "as": 4, "x": 6},
    )
    make_loader(take_lease("one"), [sent], polygon_events.decode).run()
    assert rows(
        database,
        "SELECT symbol, bid_price, bid_size, ask_price, ask_size, exchange, feed, "
        f"time = to_timestamp({NOW}) FROM stock_quotes ORDER BY quote_id",
    ) == [
        ("AAPL", 99.5, 3.0, 100.5, 4.0, None, "test", True),
        ("AAPL", None, None, 100.5, 4.0, None, "test", True),
        ("AAPL", 99.5, 3.0, None, None, None, "test", True),
        ("MSFT", None, None, None, None, None, "test", True),
        ("BTC-USD", 1.0, 2.0, 3.0, 4.0, "6", "test", True),
    ]
    assert unbalanced(database) == []


def test_a_quote_is_never_a_duplicate(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    for owner in ("one", "two"):
        make_loader(take_lease(owner), [frame(quote(), quote())], polygon_events.decode).run()
    assert rows(database, "SELECT count(*), count(DISTINCT quote_id) FROM stock_quotes") == [(4, 4)]


def test_a_bad_quote_is_rejected_and_its_neighbours_are_stored(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    bad = [quote(symbol="A\0"), quote(at=NOW + 86_400), quote(at=5), quote(t=None), quote(at=99_999_999_999.999)]
    good = [quote(NOW + number / 1000) for number in range(100)]
    make_loader(take_lease("one"), [frame(*good, *bad), frame(*bad, *good)], polygon_events.decode).run()
    assert rows(database, "SELECT count(*) FROM stock_quotes") == [(200,)]
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(10,)]
    assert unbalanced(database) == []


def test_invalid_quotes_are_rejected(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    at = NOW * 10**9

    def decode(_frame: bytes) -> list[Event]:
        return [
            Quote("A", at, 1.0),
            Quote(5, at, 1.0),  # type: ignore[arg-type]
            Quote(None, at, 1.0),  # type: ignore[arg-type]
            Quote("A", at, "much"),  # type: ignore[arg-type]
            Quote("A", at, exchange=7),  # type: ignore[arg-type]
        ]

    make_loader(take_lease("one"), [b"12345"], decode).run()
    assert rows(database, "SELECT loaded, rejected FROM ticks_platform.feed_ledger") == [(3, 2)]
    counted = "SELECT field, events FROM ticks_platform.malformed_field ORDER BY field"
    assert rows(database, counted) == [("bid", 1), ("exchange", 1)]
    assert unbalanced(database) == []


@pytest.mark.parametrize("batch_bytes", [loader.MAX_BATCH_BYTES, 1000])
def test_each_event_of_mixed_frames_is_stored_once(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    monkeypatch: pytest.MonkeyPatch,
    batch_bytes: int,
) -> None:
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", batch_bytes)
    seeded = random.Random(5)
    events = [
        *[trade(str(number % 250 + 1), at=NOW + number % 250) for number in range(400)],
        *[trade(None, at=NOW) for _ in range(50)],
        *[quote(NOW + number) for number in range(300)],
        *[bar(NOW + 60 * (number % 20)) for number in range(60)],
        *[trade(str(number), at=NOW, symbol="A\0") for number in range(15)],
        *[quote(symbol="A\0") for _ in range(10)],
        *[bar(NOW, e=0) for _ in range(5)],
        *[{"ev": "T", "sym": "AAPL"} for _ in range(20)],
        *[{"ev": "status", "status": "success"} for _ in range(30)],
        *[{"ev": "LULD", "T": "AAPL"} for _ in range(10)],
    ]
    seeded.shuffle(events)
    sent, place = [], 0
    while place < len(events):
        size = seeded.randint(1, 40)
        sent.append(frame(*events[place : place + size]))
        place += size
    sent.insert(3, b"[]")
    sent.insert(5, b"[{")
    sent.insert(6, b"")
    made = make_loader(take_lease("one"), sent, polygon_events.decode)
    made.run()
    with database.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
    assert account.problems() == []
    assert unbalanced(database) == []
    assert (account.frames, account.events) == (len(sent), len(events) + 2)
    assert rows(
        database,
        "SELECT (SELECT count(*) FROM stocks_real_time), (SELECT count(*) FROM stock_quotes), "
        "(SELECT count(*) FROM stock_aggregates), (SELECT count(*) FROM ticks_platform.rejected_event)",
    ) == [(300, 300, 20, 52)]
    assert (account.loaded, account.duplicate, account.replaced, account.rejected, account.control) == (
        620,
        150,
        40,
        52,
        40,
    )
    counted = made.metrics
    assert (counted.loaded, counted.duplicate, counted.replaced, counted.rejected, counted.control) == (
        620,
        150,
        40,
        52,
        40,
    )
    assert rows(
        database, "SELECT destination, sum(loaded)::int FROM ticks_platform.feed_hour GROUP BY destination ORDER BY 1"
    ) == [("stock_aggregates", 20), ("stock_quotes", 300), ("stocks_real_time", 300)]


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("table", ["stock_quotes", "stock_aggregates"])
def test_a_deleted_row_is_reported(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, table: str, everything: bool
) -> None:
    sent = frame(quote(), quote(NOW - 3600), bar(NOW), bar(NOW - 3600), trade("1", at=NOW))
    make_loader(take_lease("one"), [sent], polygon_events.decode).run()
    with database.autocommit() as cursor:
        assert audit.hours(cursor, everything=everything) == audit.Hours(5, 5, 0, 0, [], [])
        column = "time" if table == "stock_quotes" else "start_time"
        cursor.execute(f"DELETE FROM {table} WHERE {column} = to_timestamp({NOW})")
        found = audit.hours(cursor, everything=everything)
    assert [(row["destination"], row["loaded"], row["stored"]) for row in found.examples] == [(table, 1, 0)]


def test_a_large_mixed_batch(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    """Its ticks go directly into the columnstore if the server supports that; quotes and bars do not."""
    made = make_loader(take_lease("one"), [], polygon_events.decode)
    made._journal._closing = False
    made._journal.stop_appending()
    made = make_loader(
        take_lease("two"),
        [
            frame(
                *[trade(str(number), at=NOW + number / 100) for number in range(begin, begin + 500)],
                *[quote(NOW + number / 100) for number in range(begin, begin + 500)],
                bar(NOW + 60 * (begin // 500)),
            )
            for begin in range(0, 12_000, 500)
        ],
        polygon_events.decode,
    )
    made.run()
    assert rows(
        database,
        "SELECT (SELECT count(*) FROM stocks_real_time), (SELECT count(*) FROM stock_quotes), "
        "(SELECT count(*) FROM stock_aggregates)",
    ) == [(12_000, 12_000, 24)]
    assert unbalanced(database) == []
