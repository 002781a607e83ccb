"""Trading halts: each is stored once, and accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.ingestion import loader
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, rows, trade, unbalanced

NOW = int(time.time())

Load = Callable[..., None]

decode = partial(polygon_events.decode, market="stocks")


def luld(indicator: int = 17, *, at: float = NOW, symbol: str = "AAPL", **fields: object) -> dict[str, object]:
    """A price band with an indicator, as Polygon sends it."""
    return {"ev": "LULD", "T": symbol, "h": 2.0, "l": 1.0, "i": [indicator], "z": 3, "t": int(at * 1e9), **fields}


@pytest.fixture
def load(take_lease: TakeLease, make_loader: LoaderOf) -> Load:
    """Load frames with a new loader, as after a restart."""

    def run(*frames: bytes) -> None:
        make_loader(take_lease("one"), frames, decode).run()

    return run


def account(database: Database) -> tuple[int, ...]:
    """The ledger's loaded, duplicate, rejected and control."""
    assert unbalanced(database) == []
    columns = ", ".join(f"sum({name})::int" for name in ("loaded", "duplicate", "rejected", "control"))
    return rows(database, f"SELECT {columns} FROM ticks_platform.feed_ledger")[0]


@pytest.mark.parametrize("batch_bytes", [loader.MAX_BATCH_BYTES, 1])
def test_halts_are_stored_once(
    database: Database, load: Load, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    """However often they are sent: in a frame, in a batch, after a restart. Price bands are control events."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", batch_bytes)
    sent = [
        frame(trade("1", at=NOW - 1), luld(at=NOW - 1), luld(at=NOW - 1)),
        frame(luld(16), luld(18)),
        frame(luld(at=NOW - 1)),
    ]
    load(*sent, frame(luld(symbol="MSFT")))
    load(*sent[1:])
    found = rows(
        database, "SELECT symbol, kind, feed, received_at > time FROM trading_halt ORDER BY symbol, time, kind"
    )
    assert found == [("AAPL", "halt", "test", True), ("AAPL", "resume", "test", True), ("MSFT", "halt", "test", True)]
    assert account(database) == (4, 4, 0, 2)
    counted = "SELECT sum(loaded)::int FROM ticks_platform.feed_hour WHERE destination = 'trading_halt'"
    assert rows(database, counted) == [(3,)]


def test_a_halt_that_cannot_be_stored_is_rejected(database: Database, load: Load) -> None:
    load(frame(luld(), luld(symbol="A\0"), luld(at=NOW + 3600), luld(T=None), luld(18)))
    assert rows(database, "SELECT symbol, kind FROM trading_halt ORDER BY time, kind") == [
        ("AAPL", "halt"),
        ("AAPL", "resume"),
    ]
    reasons = [reason for (reason,) in rows(database, "SELECT reason FROM ticks_platform.rejected_event")]
    assert len(reasons) == 3
    assert any("halt without T" in reason for reason in reasons)
    assert account(database) == (2, 0, 3, 0)


def test_a_lost_halt_is_found(database: Database, load: Load) -> None:
    load(frame(luld(), luld(18)))
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM trading_halt WHERE kind = 'halt'")
    assert any("trading_halt" in problem for problem in unbalanced(database))
