"""Bars: one row per window, with its latest correction; the ledger counts the corrections."""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import pytest

from ticks_platform.feeds.events import Bar, Event
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.ingestion import loader
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, unbalanced

MINUTE = int(time.time()) // 3600 * 3600 - 7200


def bar(
    close: float = 1.0, *, at: int = MINUTE, seconds: int = 60, symbol: str = "AAPL", **fields: Any
) -> dict[str, Any]:
    """A bar as Polygon sends it."""
    window = {"s": at * 1000, "e": (at + seconds) * 1000, "v": 10, "vw": 1.5}
    return {
        "ev": "A" if seconds == 1 else "AM", "sym": symbol, "o": 1.0, "h": 9.0, "l": 0.5, "c": close, **window, **fields
    }  # fmt: skip


def account(database: Database) -> tuple[int, ...]:
    """The ledger's loaded, replaced and rejected, and the number of rows in stock_aggregates and rejected_event."""
    assert unbalanced(database) == []
    found = rows(
        database,
        "SELECT sum(loaded)::int, sum(replaced)::int, sum(rejected)::int, (SELECT count(*) FROM stock_aggregates), "
        "(SELECT count(*) FROM ticks_platform.rejected_event) FROM ticks_platform.feed_ledger",
    )
    return found[0]


def closes(database: Database) -> list[float]:
    """The closing prices, by window."""
    return [row[0] for row in rows(database, "SELECT close_price FROM stock_aggregates ORDER BY start_time, end_time")]


def test_all_fields_are_stored(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    make_loader(take_lease("one"), [frame(bar(2.5, v=10.25))], polygon_events.decode).run()
    assert rows(
        database,
        "SELECT symbol, extract(epoch FROM start_time)::bigint, extract(epoch FROM end_time)::bigint, open_price, "
        "high_price, low_price, close_price, volume, average_price, feed, "
        "received_at BETWEEN now() - INTERVAL '1 minute' AND now() FROM stock_aggregates",
    ) == [("AAPL", MINUTE, MINUTE + 60, 1.0, 9.0, 0.5, 2.5, 10.25, 1.5, "test", True)]
    assert account(database) == (1, 0, 0, 1, 0)


def test_a_missing_field_is_null(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    made = make_loader(take_lease("one"), [frame({"ev": "AM", "sym": "A", "s": MINUTE * 1000})], polygon_events.decode)
    made.run()
    assert rows(
        database, "SELECT open_price, close_price, volume, average_price, end_time - start_time FROM stock_aggregates"
    )[0][:4] == (None, None, None, None)
    assert account(database) == (1, 0, 0, 1, 0)


@pytest.mark.parametrize("batch_bytes", [loader.MAX_BATCH_BYTES, 1])
def test_a_later_bar_of_a_window_replaces_the_earlier_one(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    monkeypatch: pytest.MonkeyPatch,
    batch_bytes: int,
) -> None:
    """In one frame, in one batch, in a later batch and after a restart."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", batch_bytes)
    frames = [frame(bar(1), bar(2)), frame(bar(3), bar(7, at=MINUTE + 60)), frame(bar(4))]
    made = make_loader(take_lease("one"), frames, polygon_events.decode)
    made.run()
    assert closes(database) == [4.0, 7.0]
    assert account(database) == (2, 3, 0, 2, 0)
    assert (made.metrics.loaded, made.metrics.replaced) == (2, 3)
    before = rows(database, "SELECT max(received_at) FROM stock_aggregates")
    make_loader(take_lease("two"), [frame(bar(5)), frame(bar(8, at=MINUTE + 120))], polygon_events.decode).run()
    assert closes(database) == [5.0, 7.0, 8.0]
    assert account(database) == (3, 4, 0, 3, 0)
    assert rows(database, "SELECT received_at FROM stock_aggregates WHERE close_price = 5") > before


def test_a_commit_without_an_answer_is_counted_correctly(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = {"ev": "T", "sym": "AAPL", "i": "7", "x": 4, "p": 1.0, "s": 1, "t": MINUTE * 1000}
    made = make_loader(take_lease("one"), [frame(bar(1), bar(2), trade, trade)], polygon_events.decode)
    transact, failures = made._transactions.once, [None]

    def lose_answer(work: Any) -> Any:
        """Lose the connection between the commit and its answer."""
        done = transact(work)
        if made.metrics.frames == 0 and rows(database, "SELECT FROM ticks_platform.feed_ledger") and failures:
            failures.pop()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return done

    monkeypatch.setattr(made._transactions, "once", lose_answer)
    made.run()
    assert failures == []
    counts = (made.metrics.frames, made.metrics.loaded, made.metrics.replaced, made.metrics.duplicate)
    assert counts == (1, 2, 1, 1)
    kept = "SELECT frames, loaded, replaced, duplicate FROM ticks_platform.feed_ledger"
    assert rows(database, kept) == [counts]


def test_symbol_and_times_make_a_window(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    bars = [bar(1), bar(2, seconds=1), bar(3, symbol="MSFT"), bar(4, at=MINUTE + 60)]
    for owner in ("one", "two"):
        make_loader(take_lease(owner), [frame(*bars)], polygon_events.decode).run()
    assert account(database) == (4, 4, 0, 4, 0)


def test_a_bad_bar_is_rejected_and_its_neighbours_are_stored(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    bad = [
        bar(e=(MINUTE - 1) * 1000),
        bar(symbol="A\0"),
        bar(at=MINUTE + 86_400),
        bar(at=1000),
        bar(sym=None),
        bar(o="much"),
    ]
    good = [bar(float(number), at=MINUTE + number, seconds=1) for number in range(50)]
    events = [event for place, one in enumerate(good) for event in [one, *bad[place : place + 1]]]
    make_loader(take_lease("one"), [frame(*events), frame(bar(99, at=MINUTE, seconds=1))], polygon_events.decode).run()
    assert account(database) == (50, 1, len(bad), 50, len(bad))
    assert closes(database) == [99.0, *map(float, range(1, 50))], "splitting a batch keeps its order"


def test_invalid_bars_are_rejected(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    start, end = MINUTE * 10**9, (MINUTE + 60) * 10**9
    numbers = (1.0, 1.0, 1.0, 1.0)

    def decode(_frame: bytes) -> list[Event]:
        return [
            Bar("A", start, end, *numbers),
            Bar("A", "then", end, *numbers),  # type: ignore[arg-type]
            Bar("A", start, None, *numbers),  # type: ignore[arg-type]
            Bar(["A"], start, end, *numbers),  # type: ignore[arg-type]
            Bar("A", start, end, {}, *numbers[1:]),  # type: ignore[arg-type]
            Bar("A", 10**30, end, *numbers),
        ]

    make_loader(take_lease("one"), [b"123456"], decode).run()
    assert account(database) == (1, 0, 5, 1, 5)


def test_thousands_of_bars_and_corrections(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    frames = [
        frame(*[bar(close, at=MINUTE + second, seconds=1, symbol=f"S{number}") for number in range(50)])
        for close in (1.0, 2.0)
        for second in range(60)
    ]
    make_loader(take_lease("one"), frames, polygon_events.decode).run()
    assert account(database) == (3000, 3000, 0, 3000, 0)
    assert set(closes(database)) == {2.0}
