"""Trades that are only old cost nothing where the table has none of their symbols and times; else they are found.

Equal hashes drop no trade: what has one is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ticks_platform.feeds.events import Event, Tick
from ticks_platform.hash_set import HashSet
from ticks_platform.ingestion.rows import duplicate_trades, stored_trades
from ticks_platform.ingestion.rows.stored_trades import JournalBefore, Suspect, Suspects, stored_before
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, rows, unbalanced

DAY = 86_400
NOON = (int(time.time()) // DAY * DAY - DAY // 2) * 10**9
JOURNAL = JournalBefore(1, 1, 0)


@pytest.fixture
def load(take_lease: TakeLease, make_loader: LoaderOf) -> Callable[..., None]:
    """Load ticks, one list a batch, with a new loader: its memory is empty."""

    def run(*batches: list[Tick]) -> None:
        left = [list[Event](batch) for batch in batches]
        made = make_loader(take_lease("one"), [b"%09d" % number for number in range(len(left))], lambda _: left.pop(0))
        made.run()

    return run


def trades(begin: int, end: int, *, at: int = NOON, symbols: int = 3) -> list[Tick]:
    return [
        Tick(f"S{number % symbols}", at + number * 10**6, 1.0, size=1.0, exchange="4", trade_id=f"t{number}")
        for number in range(begin, end)
    ]


def asked(database: Database, ticks: list[Tick]) -> list[Suspect]:
    """What is looked up one by one of these ticks, which are old and were not seen before."""
    memory = duplicate_trades.TradeMemory()
    place = np.arange(len(ticks), dtype=np.int64)
    _, found = memory.suspects(Rows(ticks, place, place + NOON + 10**13))
    assert isinstance(found, Suspects)
    assert [each.place for each in found] == place.tolist()
    with database.transaction() as cursor:
        return found.worth_looking_up(cursor)


def test_none_is_looked_up_where_nothing_is_stored(database: Database, load: Callable[..., None]) -> None:
    assert asked(database, trades(0, 1000)) == []
    load(trades(0, 1000))
    assert len(asked(database, trades(0, 1000))) == 1000
    assert asked(database, trades(0, 1000, at=NOON + 3600 * 10**9)) == []
    # Only those of the symbol that has some.
    others = [*trades(0, 1000, symbols=4)]
    assert {each.key[0] for each in asked(database, others)} == {"S0", "S1", "S2"}


def test_an_old_trade_that_a_repair_stored_is_a_duplicate(database: Database, load: Callable[..., None]) -> None:
    load(trades(400, 600))
    load(trades(0, 1000), trades(0, 1000))
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(1000, 1000)]
    assert rows(database, "SELECT sum(duplicate)::int FROM ticks_platform.feed_ledger") == [(200 + 1000,)]
    assert unbalanced(database) == []


def test_a_symbol_that_cannot_be_stored_hides_no_other(database: Database, load: Callable[..., None]) -> None:
    load(trades(0, 200))
    odd = [
        Tick(symbol, NOON + number, 1.0, size=1.0, trade_id=f"odd{number}")
        for number, symbol in enumerate(("A\0B", "\ud800", "", "é"))
    ]
    with_odd = [*trades(0, 200), *odd]
    found = asked(database, with_odd)
    assert {each.place for each in found} == set(range(200))
    with database.transaction() as cursor:
        suspects = duplicate_trades.TradeMemory().suspects(Rows(with_odd, np.arange(204), np.full(204, NOON + 10**12)))[
            1
        ]
        assert stored_before(cursor, "test", JOURNAL, suspects).stored == list(range(200))


@pytest.mark.parametrize("together", [True, False])
def test_equal_hashes_drop_no_trade(
    database: Database, load: Callable[..., None], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all trades: each is compared, within a batch with the others, and with what is stored."""

    add, contains, fromiter = HashSet.add, HashSet.contains, np.fromiter
    monkeypatch.setattr(HashSet, "add", lambda self, hashes: add(self, np.zeros_like(hashes)))
    monkeypatch.setattr(HashSet, "contains", lambda self, hashes: contains(self, np.zeros_like(hashes)))

    class OneHash:
        """numpy, but all hashes of trades are the same."""

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def fromiter(self, values: Any, *arguments: Any) -> Any:
            found = fromiter(values, *arguments)
            return np.zeros_like(found) if found.dtype == np.int64 else found

    monkeypatch.setattr(duplicate_trades, "np", OneHash())
    first, second = trades(0, 150), trades(100, 250)
    load([*first, *second]) if together else load(first, second)
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(250, 250)]
    assert rows(database, "SELECT sum(duplicate)::int FROM ticks_platform.feed_ledger") == [(50,)]
    assert unbalanced(database) == []


def test_few_old_trades_are_looked_up_without_asking_first(database: Database) -> None:
    assert len(asked(database, trades(0, stored_trades._MANY - 1))) == stored_trades._MANY - 1
