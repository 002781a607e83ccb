"""Rejected events that are loaded again: each once, in the account, and with their first arrival."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from ticks_platform.feeds.events import Event
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import reload
from ticks_platform.ingestion.reload import Reloaded, reload_rejected
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, price, rows, trade, unbalanced

ACCOUNT = "SELECT sum(events), sum(loaded), sum(duplicate), sum(rejected) FROM ticks_platform.feed_ledger"


@pytest.fixture
def polygon() -> FeedSettings:
    return FeedSettings.model_validate(
        {"name": "test", "provider": "polygon", "endpoint": "stand-in", "symbols": ["AAPL", "BAD"]}
    )


@pytest.fixture
def refusing(database: Database) -> Iterator[None]:
    """A table that refuses a symbol."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT not_bad CHECK (symbol <> 'BAD')")
    yield
    accept(database)


def accept(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time DROP CONSTRAINT IF EXISTS not_bad")


def test_events_are_loaded_once_as_if_they_had_been_at_first(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    make_loader(take_lease("one"), [price(), price(symbol="BAD", price=7.5), price()]).run()
    assert reload_rejected(feed, database) == Reloaded(read=1, rejected=1), "its reason is not gone"
    (arrival,) = rows(database, "SELECT received_at FROM ticks_platform.rejected_event")[0]
    accept(database)
    assert reload_rejected(feed, database, since=datetime.now(timezone.utc) + timedelta(hours=1)) == Reloaded()
    assert reload_rejected(feed, database) == Reloaded(read=1, loaded=1)
    assert reload_rejected(feed, database) == Reloaded()
    assert rows(database, "SELECT price, received_at FROM stocks_real_time WHERE symbol = 'BAD'") == [(7.5, arrival)]
    ids = "SELECT symbol FROM stocks_real_time ORDER BY substr(tick_id::text, 20)"
    assert [symbol for (symbol,) in rows(database, ids)] == ["AAPL", "BAD", "AAPL"], "in the order of arrival"
    assert rows(database, ACCOUNT) == [(3, 3, 0, 0)]
    assert unbalanced(database) == []


def test_an_event_of_a_frame_is_loaded_without_the_others(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings, refusing: None
) -> None:
    now = time.time()
    symbols = ["AAPL", "BAD", "AAPL", "BAD"]
    events = [trade(f"t{number}", at=now, symbol=symbol) for number, symbol in enumerate(symbols)]
    malformed = trade("9", at=now, p="much")
    make_loader(take_lease("one"), [frame(*events), frame(events[0], malformed)], polygon_events.decode).run()
    assert rows(database, ACCOUNT) == [(6, 2, 1, 3)]
    for _ in range(2):
        assert reload_rejected(polygon, database) == Reloaded(read=3, rejected=3), "it keeps its place"
    accept(database)
    assert reload_rejected(polygon, database) == Reloaded(read=3, loaded=2, rejected=1)
    found = rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1")
    assert [trade_id for (trade_id,) in found] == ["t0", "t1", "t2", "t3"]
    assert rows(database, ACCOUNT) == [(6, 4, 1, 1)]
    assert unbalanced(database) == []


def test_a_frame_that_was_rejected_is_loaded_with_all_of_its_events(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    polygon: FeedSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bug of the connector that is mended. The provider has sent one of the trades again meanwhile."""
    now = time.time()
    data = frame(*(trade(f"t{number}", at=now) for number in range(3)), {"ev": "status", "status": "success"})

    def decode(received: bytes) -> list[Event]:
        if received == data:
            raise KeyError("i")
        return polygon_events.decode(received)

    make_loader(take_lease("one"), [data, frame(trade("t1", at=now)), price()], decode).run()
    assert rows(database, ACCOUNT) == [(3, 1, 0, 2)]
    monkeypatch.setattr(reload, "AT_ONCE", 1)
    assert reload_rejected(polygon, database) == Reloaded(read=2, loaded=2, duplicate=1, rejected=1, control=1)
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(3, 3)]
    assert rows(database, ACCOUNT) == [(6, 3, 1, 1)]
    assert unbalanced(database) == []


def test_those_of_an_older_release_are_loaded_where_their_bytes_suffice(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, polygon: FeedSettings, refusing: None
) -> None:
    now = time.time()
    alone, together = trade("1", at=now, symbol="BAD"), trade("2", at=now, symbol="BAD")
    frames = [frame(alone), frame(together, trade("3", at=now))]
    make_loader(take_lease("one"), frames, polygon_events.decode).run()
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.rejected_event SET place = NULL, epoch = NULL, connection = NULL")
    accept(database)
    assert reload_rejected(polygon, database) == Reloaded(read=2, loaded=1, rejected=1)
    assert rows(database, "SELECT trade_id FROM stocks_real_time ORDER BY 1") == [("1",), ("3",)]
    assert unbalanced(database) == []


def test_a_table_that_takes_nothing_changes_nothing(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    make_loader(take_lease("one"), [price(symbol="BAD")] * 3).run()
    before = rows(database, "SELECT * FROM ticks_platform.rejected_event")
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time RENAME TO elsewhere")
    try:
        assert reload_rejected(feed, database) == Reloaded(read=3, rejected=3)
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO stocks_real_time")
    assert rows(database, "SELECT * FROM ticks_platform.rejected_event") == before


def test_events_from_the_future_stay_however_many_agree(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, feed: FeedSettings, refusing: None
) -> None:
    """Without the others that came with them, they tell nothing of this machine's clock."""
    make_loader(take_lease("one"), [price(symbol="BAD")] * 10).run()
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.rejected_event SET received_at = received_at - INTERVAL '1 hour'")
    accept(database)
    assert reload_rejected(feed, database) == Reloaded(read=10, rejected=10)
    assert "after its arrival" in rows(database, "SELECT DISTINCT reason FROM ticks_platform.rejected_event")[0][0]
