"""The field campaign's account finds candles that were proven and are not what the market had."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.field.account import Gaps
from ticks_platform_tests.field.market import STOCKS, Event, Fate, Key
from ticks_platform_tests.field.past import Past
from ticks_platform_tests.field.proofs import Proofs, Said
from ticks_platform_tests.field.server import FeedServer, Sent

DAY = int(time.time()) // 86_400 * 86_400 - 3 * 86_400

RIGHT = Said("1m", float(DAY), "AAPL", 1.0, 3.0, 1.0, 3.0, 60.0, 3, "final", 50.0)
"""Four trades, at prices of 1 to 4, a second apart; the last one was cancelled before the true-up."""


class Account:
    """A market of one minute, and what was said of it."""

    def __init__(self, folder: Path) -> None:
        server = FeedServer(1)
        self.past = Past(server)
        self.proofs = Proofs(Database("postgresql://nobody@127.0.0.1:1/none"), self.past, folder, lambda _: {})
        self.sent = [
            Sent(Event(STOCKS, Fate.STORED, key), 10.0 + number, [10.0 + number])
            for number, key in enumerate(map(trade, range(4)))
        ]

    def problems(self, *said: Said, at: float = 200.0, gaps: Gaps | None = None) -> list[str]:
        self.proofs.said = dict.fromkeys(said, at)
        return self.proofs.problems(self.sent, {} if gaps is None else {(STOCKS, "AAPL"): gaps})


def trade(number: int) -> Key:
    return Key(STOCKS, "AAPL", (DAY + number) * 1_000_000, number + 1.0, 10.0 * (number + 1), str(number))


@pytest.fixture
def account(tmp_path: Path) -> Account:
    found = Account(tmp_path)
    found.past.take_back(trade(3), None)
    back = found.past.taken_back[trade(3)]
    found.past.taken_back[trade(3)] = back._replace(at=90.0)
    found.proofs._arrived.append((40.0, 30.0))
    found.proofs._trued_up[datetime.fromtimestamp(DAY, timezone.utc).date()] = (100.0, 150.0)
    return found


WRONG: dict[str, dict[str, Any]] = {
    "it had 3 to 3 ticks": {"formed_by": 4},
    "it opens with a price that the market did not have": {"open": 9.0},
    "it lacks a price": {"high": 2.0},
    "it does not open with its first price": {"open": 2.0},
    "it does not close with its last price": {"close": 1.0},
    "it had a volume of 60.0 to 60.0": {"volume": 100.0},
}


def test_a_final_candle_is_what_its_true_up_was_told(account: Account) -> None:
    assert account.problems(RIGHT) == []
    for problem, changed in WRONG.items():
        (found,) = account.problems(RIGHT._replace(**changed))
        assert problem in found


def test_a_trade_that_is_taken_back_counts_until_somebody_says_so(account: Account) -> None:
    """A candle that is proven and not final may have it or not."""
    with_it = RIGHT._replace(proof="proven", high=4.0, close=4.0, volume=100.0, formed_by=4)
    assert account.problems(with_it, RIGHT._replace(proof="proven")) == []
    assert "it had 3 to 3 ticks" in account.problems(with_it._replace(proof="final"))[0]


def test_what_had_not_arrived_may_be_missing(account: Account) -> None:
    empty = RIGHT._replace(proof="proven", open=1.0, high=1.0, low=1.0, close=1.0, volume=10.0, formed_by=1)
    assert "it had 3 to 4 ticks" in account.problems(empty)[0]
    assert account.problems(empty._replace(proven_at=39.0)) == []


def test_a_gap_excuses_what_was_sent_in_it_and_no_candle_of_its_time(account: Account) -> None:
    """Late trades that were lost; but a candle of the gap's own time has what was repaired."""
    gaps = Gaps()
    gaps.add(9.0, 20.0)
    empty = RIGHT._replace(proof="proven", open=1.0, high=1.0, low=1.0, close=1.0, volume=10.0, formed_by=1)
    assert account.problems(empty, gaps=gaps) == []
    account.sent = [each._replace(at=DAY + 1.0, handed=[]) for each in account.sent]
    account.proofs._arrived.append((40.0, DAY + 30.0))
    gaps.add(DAY, DAY + 2.0)
    assert "it had 3 to 4 ticks" in account.problems(empty, at=DAY + 300.0, gaps=gaps)[0]
