"""Trades that are sent again are stored once and counted as duplicates; different trades are all stored."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from ticks_platform.feeds.events import Event, Frame, Tick
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows import duplicate_trades, stored_trades
from ticks_platform.ingestion.rows.decode import Decode
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, frame, price, rows, trade, unbalanced

DAY = 86_400
NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Noon of yesterday, UTC."""

Load = Callable[..., None]


@pytest.fixture
def load(take_lease: TakeLease, make_loader: LoaderOf) -> Load:
    """Load frames with a new loader, as after a restart: its memory is empty."""

    def run(*frames: bytes, decode: Decode = polygon_events.decode, lease: Lease | None = None) -> None:
        make_loader(lease or take_lease("one"), frames, decode).run()

    return run


@pytest.fixture
def one_frame_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every group of frames is a separate batch."""
    monkeypatch.setattr(loader, "MAX_BATCH_BYTES", 1)


def account(database: Database) -> tuple[int, ...]:
    """The ledger's loaded, duplicate and rejected, and the number of rows in stocks_real_time and rejected_event."""
    found = rows(
        database,
        "SELECT coalesce(sum(loaded), 0)::int, coalesce(sum(duplicate), 0)::int, coalesce(sum(rejected), 0)::int, "
        "(SELECT count(*) FROM stocks_real_time), (SELECT count(*) FROM ticks_platform.rejected_event) "
        "FROM ticks_platform.feed_ledger",
    )
    assert unbalanced(database) == []
    return found[0]


def test_sent_twice_in_a_frame(database: Database, load: Load) -> None:
    load(frame(trade("1", at=NOON), trade("2", at=NOON), trade("1", at=NOON)))
    assert account(database) == (2, 1, 0, 2, 0)


def test_sent_three_times_in_a_batch(database: Database, load: Load) -> None:
    load(frame(trade("1", at=NOON)), frame(trade("2", at=NOON)), *[frame(trade("1", at=NOON))] * 2)
    assert account(database) == (2, 2, 0, 2, 0)


@pytest.mark.usefixtures("one_frame_a_batch")
def test_sent_again_in_a_later_batch(database: Database, load: Load) -> None:
    load(*[frame(trade("1", at=NOON), trade(str(number), at=NOON + number)) for number in range(2, 6)])
    assert account(database) == (5, 3, 0, 5, 0)


@pytest.mark.usefixtures("one_frame_a_batch")
def test_sent_again_after_a_reconnect(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    lease = take_lease("one")
    made = make_loader(lease, [], polygon_events.decode)
    made._journal._closing = False
    for connection, ids in ((1, "123"), (2, "2345"), (3, "5")):
        sent = frame(*[trade(number, at=NOON + int(number)) for number in ids])
        made._journal.append([Frame(sent, time.time_ns(), connection)], epoch=lease.epoch)
    made._journal.stop_appending()
    made.run()
    assert account(database) == (5, 3, 0, 5, 0)
    assert rows(
        database, "SELECT connection, loaded, duplicate FROM ticks_platform.feed_ledger ORDER BY connection"
    ) == [(1, 3, 0), (2, 2, 2), (3, 0, 1)]
    assert (made.metrics.loaded, made.metrics.duplicate) == (5, 3)


def test_sent_again_after_a_restart(database: Database, load: Load) -> None:
    load(*[frame(trade(str(number), at=NOON + number)) for number in range(10)])
    load(*[frame(trade(str(number), at=NOON + number)) for number in range(5, 15)])
    load(*[frame(trade(str(number), at=NOON + number)) for number in range(15)])
    assert account(database) == (15, 5 + 15, 0, 15, 0)


def test_out_of_order_and_late(database: Database, load: Load) -> None:
    load(frame(trade("9", at=NOON + 9), trade("1", at=NOON + 1), trade("5", at=NOON - 2 * DAY)))
    load(frame(trade("5", at=NOON - 2 * DAY), trade("4", at=NOON - 2 * DAY), trade("1", at=NOON + 1)))
    assert account(database) == (4, 2, 0, 4, 0), "a late trade that is sent for the first time is no duplicate"


def test_symbol_exchange_id_and_day_identify_a_trade(database: Database, load: Load) -> None:
    load(
        frame(
            trade("1", at=NOON),
            trade("1", at=NOON, x=11),
            trade("1", at=NOON, x=4, trfi=201),
            trade("1", at=NOON, x=None),
            trade("1", at=NOON, symbol="MSFT"),
            trade("1", at=NOON - DAY),
        )
    )
    assert account(database) == (6, 0, 0, 6, 0)
    load(frame(trade("1", at=NOON, x=None), trade("1", at=NOON, x=12), trade("1", at=NOON - 2 * DAY)))
    assert account(database) == (8, 1, 0, 8, 0), "a trade without an exchange is found too"


def test_trades_of_the_same_time_are_all_stored(database: Database, load: Load) -> None:
    for _ in range(2):
        load(frame(*[trade(str(number), at=NOON) for number in range(100)]))
    assert account(database) == (100, 100, 0, 100, 0)


@pytest.mark.usefixtures("one_frame_a_batch")
def test_another_time_of_the_same_day_is_the_same_trade(database: Database, load: Load) -> None:
    load(frame(trade("1", at=NOON)), frame(trade("1", at=NOON + 1.5)))
    assert account(database) == (1, 1, 0, 1, 0)


def test_a_trading_day_does_not_end_at_midnight(database: Database, load: Load) -> None:
    """After-hours trading of a US exchange lasts until 01:00 UTC in winter."""
    midnight = NOON + DAY // 2 - DAY
    load(frame(trade("1", at=midnight - 1), trade("1", at=midnight + 1), trade("1", at=midnight + 5 * 3600)))
    assert account(database) == (2, 1, 0, 2, 0)


@pytest.mark.usefixtures("one_frame_a_batch")
def test_the_day_has_24_hours_in_every_time_zone(database: Database, load: Load) -> None:
    """The session's time zone sets its clocks back, so that «1 day» is 25 hours."""
    with database.autocommit() as cursor:
        cursor.execute("SELECT current_database()")
        (name,) = cursor.fetchone()  # type: ignore[misc]
        cursor.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Europe/Berlin'")
    try:
        ends = 1_761_454_800  # 2025-10-26 05:00 UTC; Berlin's clocks went back four hours before
        load(frame(trade("1", at=ends + 1800), trade("2", at=ends - 1)), frame(trade("1", at=ends - 1)))
        load(frame(trade("2", at=ends - 1)))
    finally:
        with database.autocommit() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" RESET timezone')
    assert account(database) == (3, 1, 0, 3, 0)


def test_ticks_without_a_trade_id_are_never_duplicates(database: Database, load: Load) -> None:
    decode = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k").decode
    for _ in range(2):
        load(*[price(timestamp=NOON)] * 5, decode=decode)
    assert account(database) == (10, 0, 0, 10, 0)


@pytest.mark.parametrize("trade_id", [None, ""])
def test_trades_with_an_empty_id_are_told_apart_by_their_number(
    database: Database, load: Load, trade_id: str | None
) -> None:
    for _ in range(2):
        load(frame(trade(trade_id, at=NOON), trade(trade_id, at=NOON), trade("1", at=NOON)))
    assert account(database) == (3, 3, 0, 3, 0), "the two of a frame are two, and come again"


@pytest.mark.usefixtures("one_frame_a_batch")
def test_an_unstorable_trade_is_rejected_each_time(database: Database, load: Load) -> None:
    bad = trade("1", at=NOON, symbol="A\0")
    load(frame(bad, bad, trade("2", at=NOON)), frame(bad))
    load(frame(bad), frame(trade("2", at=NOON)))
    assert account(database) == (1, 1, 4, 1, 4)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_rejected_trade_that_is_sent_again_is_no_duplicate(
    database: Database, load: Load, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """Rejected by a CHECK that a user added; in one batch, in two, and after a restart."""
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time ADD CONSTRAINT positive CHECK (price > 0)")
    bad, good, other = trade("1", at=NOON, p=0), trade("1", at=NOON, p=7), trade("2", at=NOON)
    if batches == 1:
        load(frame(bad, other, bad, good, good, other))
    else:
        monkeypatch.setattr(loader, "MAX_BATCH_BYTES", 1)
        first, second = [frame(bad, other), frame(bad)], [frame(good, good), frame(other)]
        if batches == 2:
            load(*first, *second)
        else:
            load(*first)
            load(*second)
    assert account(database) == (2, 2, 2, 2, 2)
    assert rows(database, "SELECT price FROM stocks_real_time WHERE trade_id = '1'") == [(7.0,)]


def test_an_unstorable_time_hides_no_duplicates(database: Database, load: Load) -> None:
    """The other trades of its batch are compared with the memory, and remembered."""
    absurd = trade("0", at=99_999_999_999.999)
    load(frame(trade("1", at=NOON), trade("1", at=NOON), absurd), frame(trade("1", at=NOON)))
    load(frame(trade("1", at=NOON), absurd))
    assert account(database) == (1, 3, 2, 1, 2)
    ((reason,),) = rows(database, "SELECT DISTINCT reason FROM ticks_platform.rejected_event")
    assert "time" in reason


@pytest.mark.usefixtures("one_frame_a_batch")
def test_memory_is_bounded_and_older_trades_are_looked_up(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_trades, "FILTER_CAPACITY", 50)
    sent = [frame(*[trade(str(i), at=NOON + i) for i in range(begin, begin + 10)]) for begin in range(0, 500, 10)]
    made = make_loader(take_lease("one"), [*sent, sent[0], sent[25], sent[49], sent[10]], polygon_events.decode)
    made.run()
    assert made._memory._recent.size + made._memory._older.size <= 2 * (50 + 10)
    assert made._memory.horizon is not None
    assert account(database) == (500, 40, 0, 500, 0)


def test_a_new_trade_is_not_looked_up() -> None:
    """Otherwise every trade would cost a query."""
    memory = TradeMemory()
    memory.horizon = NOON * 10**9
    new = [Tick("A", NOON * 10**9 + number, 1.0, trade_id=str(number)) for number in range(-1, 5)]
    place = np.arange(6, dtype=np.int64)
    assert [suspect.place for suspect in memory.suspects(Rows(new, place, place))[1]] == [0, 1]
    assert [suspect.place for suspect in memory.suspects(Rows(new[2:3], place[:1], place[:1]))[1]] == [0]


def test_a_duplicate_in_a_compressed_chunk_is_found(database: Database, load: Load) -> None:
    old = NOON - 20 * DAY
    load(frame(*[trade(str(number), at=old + number) for number in range(100)], trade("1", at=NOON)))
    assert rows(
        database,
        "SELECT count(compress_chunk(chunk)) FROM show_chunks('stocks_real_time', now() - INTERVAL '9 days') AS chunk",
    ) == [(1,)]
    load(frame(*[trade(str(number), at=old + number) for number in range(50, 150)]))
    assert account(database) == (151, 50, 0, 151, 0)


def test_the_newest_hour_may_be_deleted(database: Database, load: Load) -> None:
    """Deleting its rows does not make the trades of earlier hours storable again."""
    load(frame(trade("1", at=NOON - 7200), trade("2", at=NOON)))
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM stocks_real_time WHERE trade_id = '2'")
    load(frame(trade("1", at=NOON - 7200)))
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(1,)]


def test_other_feeds_and_uncounted_hours_do_not_move_the_horizon(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    with database.transaction() as cursor:
        assert stored_trades.stored_until(cursor, "test") is None
        cursor.execute(
            "INSERT INTO ticks_platform.feed_hour "
            "VALUES ('test', 'stocks_real_time', '-infinity', 1, now(), now(), now())"
        )
        assert stored_trades.stored_until(cursor, "test") is None
        cursor.execute(
            "INSERT INTO ticks_platform.feed_hour "
            "VALUES ('test', 'stock_quotes', '2026-01-01 00:00+00', 1, now(), now(), now())"
        )
        assert stored_trades.stored_until(cursor, "test") is None


def test_microseconds_do_not_make_a_different_trade(database: Database, load: Load) -> None:
    """The table truncates nanoseconds; the memory's horizon and the query agree with that."""
    moments = [NOON * 10**9 + 123_456_000 + rest for rest in (1, 499, 500, 999)]

    def decode(_frame: bytes) -> list[Event]:
        return [Tick("A", at, 1.0, exchange="4", trade_id=str(at)) for at in moments]

    for _ in range(2):
        load(b"x", decode=decode)
    assert account(database) == (4, 4, 0, 4, 0)
