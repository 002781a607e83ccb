"""Trades without an id, or with one that says nothing, are identified by what they are, and by their number."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ticks_platform.feeds.events import Correction, Event, Frame, Tick
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.rows import duplicate_trades
from ticks_platform.ingestion.rows.stored_trades import Suspects
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, trade, unbalanced

DAY = 86_400
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Noon of yesterday, UTC."""

Send = Callable[..., None]


@pytest.fixture
def send(take_lease: TakeLease, make_loader: LoaderOf) -> Send:
    """Load what came on several connections, each a list of frames, with a new loader, as after a restart."""

    def run(*connections: list[bytes]) -> None:
        lease = take_lease("one")
        made = make_loader(lease, [], polygon_events.decode)
        made._journal._closing = False
        for number, frames in enumerate(connections, start=1):
            made._journal.append([Frame(each, time.time_ns(), number) for each in frames], epoch=lease.epoch)
        made._journal.stop_appending()
        made.run()

    return run


@pytest.fixture(params=["one batch", "a batch a group"])
def any_batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "one batch":
        monkeypatch.setattr(loader, "MAX_BATCH_BYTES", 1)


def option(at: float = NOON, **fields: Any) -> dict[str, Any]:
    """A trade of an option, which has no id."""
    event = trade(None, at=at, symbol="O:SPY251219C00650000", x=65, p=1.54, s=1, c=[233], q=651921857)
    del event["i"]
    return {**event, **fields}


def account(database: Database) -> tuple[int, int, int]:
    """Loaded, duplicate, and the number of ticks."""
    found = rows(
        database,
        "SELECT coalesce(sum(loaded), 0)::int, coalesce(sum(duplicate), 0)::int, "
        "(SELECT count(*) FROM stocks_real_time) FROM ticks_platform.feed_ledger",
    )
    assert unbalanced(database) == []
    return found[0]


@pytest.mark.usefixtures("any_batches")
def test_sent_again_on_the_next_connection(database: Database, send: Send) -> None:
    first = [frame(option(), option(p=1.55)), frame(option(NOON + 1))]
    again = [frame(option(p=1.55), option(NOON + 1)), frame(option(NOON + 2))]
    send(first, [frame(option()), *again])
    assert account(database) == (4, 3, 4)
    send(first, again)
    assert account(database) == (4, 3 + 6, 4), "after a restart as well"


@pytest.mark.usefixtures("any_batches")
def test_equal_trades_of_a_moment_are_all_stored(database: Database, send: Send) -> None:
    send([frame(option(), option()), frame(option(), option(p=9))])
    assert account(database) == (4, 0, 4)
    send([frame(option(), option(), option()), frame(option(p=9), option())])
    assert account(database) == (5, 4, 5), "one more than before"


@pytest.mark.usefixtures("any_batches")
def test_the_same_frame_twice(database: Database, send: Send) -> None:
    once = frame(option(), option(), option(p=2))
    send([once, once, frame(option(p=3)), once])
    assert account(database) == (4, 6, 4)


def test_what_differs_is_another_trade(database: Database, send: Send) -> None:
    others = [{"p": 2}, {"s": 2}, {"c": [227]}, {"c": [233, 227]}, {"x": 66}, {"sym": "O:X"}, {"t": NOON * 1000 + 1}]
    different = [option(), *(option(**each) for each in others), option(c=[227, 233])]
    send([frame(*different)], [frame(*reversed(different))])
    # Conditions come in any order, so the last equals one before.
    assert account(database) == (9, 9, 9)


@pytest.mark.parametrize("constant", ["0", "same"])
@pytest.mark.usefixtures("any_batches")
def test_an_id_that_says_nothing(database: Database, send: Send, constant: str) -> None:
    draw = random.Random(7)
    sent = [trade(constant, at=NOON + place, p=draw.choice([1, 2, 3]), s=place % 3 + 1) for place in range(40)]
    sent = [sent[0], {**sent[0], "p": 9}, *sent[1:]]
    frames = [frame(*sent[begin : begin + 7]) for begin in range(0, len(sent), 7)]
    send(frames)
    assert account(database) == (41, 0, 41)
    send(frames[3:], frames[4:])
    assert account(database)[2] == 41
    send([frame(*sent, trade(constant, at=NOON + 100, p=7))])
    assert account(database)[2] == 42


def test_two_trades_with_the_id_zero_at_different_times(database: Database, send: Send) -> None:
    send([frame(trade("0", at=NOON))], [frame(trade("0", at=NOON + 1))], [frame(trade("0", at=NOON + 1))])
    assert account(database) == (2, 1, 2)


@pytest.mark.usefixtures("any_batches")
def test_one_id_with_another_price(database: Database, send: Send) -> None:
    """Nothing that differs in price or size is dropped."""
    send([frame(trade("7", at=NOON))], [frame(trade("7", at=NOON + 1, p=5))], [frame(trade("7", at=NOON, s=11))])
    assert account(database) == (3, 0, 3)


def test_a_fraction_may_come_rounded_down(database: Database, send: Send) -> None:
    send([frame(trade("7", at=NOON, s=0, ds="0.251"))])
    send([frame(trade("7", at=NOON, s=0))])
    assert account(database) == (1, 1, 1)


def test_a_corrected_trade_has_the_same_id(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    at = NOON * 10**9
    wrong = Tick("A", at, 1.0, size=5.0, exchange="4", trade_id="7")
    right = Tick("A", at, 2.0, size=5.0, exchange="4", trade_id="7")
    correction = Correction("A", at, "4", "7", "corrected", "test", price=1.0, size=5.0)
    events: list[list[Event]] = [[wrong], [correction, right], [wrong, right], [correction]]
    for each in events:
        make_loader(take_lease("one"), [b"x" * 10], lambda _frame, each=each: each).run()
    assert rows(database, "SELECT price, coalesce(updates, 0) & 8 FROM stocks_real_time ORDER BY price") == [
        (1.0, 8),
        (2.0, 0),
    ]
    assert unbalanced(database) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_trades, "FILTER_CAPACITY", 1000)
    memory = duplicate_trades.TradeMemory()
    for batch in range(50):
        at = NOON * 10**9 + batch * 10**9
        ticks = [Tick("A", at + place // 2 * 1000, 1.0, size=1.0) for place in range(400)]
        memory.suspects(Rows(ticks, np.arange(400), np.full(400, at, np.int64)))
    assert memory.horizon is not None
    assert len(memory._equal._counts) + len(memory._equal._older_counts) < 4000


LoaderFrom = Callable[[list[bytes]], Loader]
End = Callable[[list[bytes], int], None]


@pytest.fixture
def received(take_lease: TakeLease, make_loader: LoaderOf) -> LoaderFrom:
    """A loader of frames that came one by one on one connection."""

    def make(frames: list[bytes]) -> Loader:
        lease = take_lease("one")
        made = make_loader(lease, [], polygon_events.decode)
        made._journal._closing = False
        for each in frames:
            made._journal.append([Frame(each, time.time_ns(), 1)], epoch=lease.epoch)
        made._journal.stop_appending()
        return made

    return make


@pytest.fixture
def end_between(
    make_loader: LoaderOf, take_lease: TakeLease, received: LoaderFrom, monkeypatch: pytest.MonkeyPatch
) -> End:
    """A process receives frames on one connection, commits some, and ends; its successor loads the rest."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", 1)

    def run(frames: list[bytes], committed: int) -> None:
        made = received(frames)
        commit, done = made._commit, []

        def end_after(*arguments: Any) -> None:
            if len(done) == committed:
                raise KeyboardInterrupt
            commit(*arguments)
            done.append(arguments)

        monkeypatch.setattr(made, "_commit", end_after)
        with pytest.raises(KeyboardInterrupt):
            made.run()
        make_loader(take_lease("two"), [], polygon_events.decode).run()

    return run


@pytest.mark.parametrize("committed", [1, 2, pytest.param(3, marks=pytest.mark.full)])
def test_equal_trades_are_all_stored_though_the_process_ended_between_them(
    database: Database, send: Send, end_between: End, committed: int
) -> None:
    """Its successor loads the rest of its journal, and has no memory of what was committed."""
    frames = [frame(option(q=number)) for number in range(4)]
    end_between(frames, committed)
    assert account(database) == (4, 0, 4)
    # And they are known when they come again.
    send(frames)
    assert account(database) == (4, 4, 4)


@pytest.mark.parametrize("committed", [1, 2, pytest.param(3, marks=pytest.mark.full)])
def test_the_same_frame_twice_though_the_process_ended_between(
    database: Database, end_between: End, committed: int
) -> None:
    once = frame(option(), option(), option(p=2))
    # The last equals the others, and is another frame.
    end_between([once, once, once, frame(option(q=1)), once], committed)
    assert account(database) == (4, 9, 4)


def test_equal_trades_are_all_stored_though_memory_ran_out(
    database: Database, received: LoaderFrom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same frames are taken again, fewer at a time."""
    failures = [MemoryError()]

    def run_out(*arguments: Any, **named: Any) -> Suspects:
        if failures:
            raise failures.pop()
        return Suspects(*arguments, **named)

    monkeypatch.setattr(duplicate_trades, "Suspects", run_out)
    received([frame(option(q=number)) for number in range(4)]).run()
    assert not failures
    assert account(database) == (4, 0, 4)


def test_repeats_are_noted_only_where_trades_may_have_no_ids(received: LoaderFrom) -> None:
    """It costs time while frames are read."""
    of_loader = {}
    for name, event in {"named": trade("7", at=NOON), "none": {"ev": "status"}, "nameless": option()}.items():
        made = received([frame(event)])
        made.run()
        of_loader[name] = made.sources.own.journal.recent.are_of_use
    assert of_loader == {"named": False, "none": True, "nameless": True}
