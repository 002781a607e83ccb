"""The loader: every event becomes one row or one rejected event, whatever fails in between."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import psycopg2
import pytest

from ticks_platform.feeds.events import Frame, Tick
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import audit, switch
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.handover import handover
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import HandedOverError, Lease, LeaseLostError
from ticks_platform.ingestion.loader import CheckpointError
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.decode import decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.ledger import Entry
from ticks_platform.ingestion.rows.store import Store, prepare
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support import skips
from ticks_platform_tests.support.ingestion import LoaderOf, TakeLease, price, rows


def test_ticks_are_committed_with_checkpoint(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    frames = [price(price=float(number)) for number in range(1, 501)]
    loader = make_loader(take_lease("one"), frames)
    loader.run()
    assert loader.metrics.loaded == 500
    assert rows(database, "SELECT count(*), sum(price), count(DISTINCT tick_id) FROM stocks_real_time") == [
        (500, 125250.0, 500)
    ]
    assert rows(database, "SELECT position, frames FROM ticks_platform.feed_checkpoint") == [
        (sum(map(len, frames)), 500)
    ]
    assert rows(database, "SELECT released_at IS NOT NULL FROM ticks_platform.feed_lease") == [(True,)]


def test_all_fields_are_stored(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    make_loader(
        take_lease("one"),
        [price("XAU/USD", timestamp=1647950462, price=1925.18, bid=1925.05, ask=1925.32, day_volume=None)],
    ).run()
    (row,) = rows(
        database,
        "SELECT extract(epoch FROM time)::bigint, symbol, price, day_volume, size, bid, ask, feed, "
        "received_at BETWEEN now() - INTERVAL '1 minute' AND now() FROM stocks_real_time",
    )
    assert row == (1647950462, "XAU/USD", 1925.18, None, None, 1925.05, 1925.32, "test", True)


def test_a_bad_event_is_rejected_with_reason_and_bytes(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    now = int(time.time())
    bad = {
        b"not json": "malformed frame",
        b"": "malformed frame",
        b"\x00\xff": "malformed frame",
        price(price=None): "without price",
        price(timestamp=now + 86_400): "after its arrival",
        price(timestamp=0): "before 1990",
        price(symbol="A\x00B"): "0x00",
    }
    good = [price(price=float(number)) for number in range(1, 100)]
    frames = [
        frame
        for pair in zip(good, [*bad, *[None] * (len(good) - len(bad))], strict=True)
        for frame in pair
        if frame is not None
    ]
    loader = make_loader(take_lease("one"), [*frames, b'{"event":"heartbeat","status":"ok"}'])
    loader.run()
    assert (loader.metrics.loaded, loader.metrics.rejected, loader.metrics.control) == (len(good), len(bad), 1)
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(len(good),)]
    stored = dict(rows(database, "SELECT raw::bytea, reason FROM ticks_platform.rejected_event"))
    assert {
        bytes(raw): next(iter(r for r in bad.values() if r in reason), reason) for raw, reason in stored.items()
    } == bad


def test_a_tick_that_the_database_refuses_is_found_among_thousands(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    frames = [price(price=float(number)) for number in range(1, 3001)]
    frames[1234] = price(symbol="BAD\x00SYMBOL")
    make_loader(take_lease("one"), frames).run()
    assert rows(database, "SELECT count(*), sum(price) FROM stocks_real_time") == [(2999, 4501500.0 - 1235)]
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(1,)]
    assert rows(database, "SELECT frames, events, loaded, rejected FROM ticks_platform.feed_ledger") == [
        (3000, 3000, 2999, 1)
    ]


def test_ticks_reach_candles_where_a_trigger_changes_them(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    """TimescaleDB 2.29.2 does not note what COPY adds then, and would leave it out of candles that are refreshed."""
    with database.transaction() as cursor:
        cursor.execute(
            "CREATE FUNCTION double() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN NEW.price := 2 * NEW.price; RETURN NEW; END$$"
        )
        cursor.execute("CREATE TRIGGER double BEFORE INSERT ON stocks_real_time FOR EACH ROW EXECUTE FUNCTION double()")
    try:
        lease = take_lease("one")
        at = int(time.time()) // 60 * 60 - 600
        for frames in (
            [price(price=float(number), timestamp=at) for number in (1, 2)],
            [price(price=3.0, timestamp=at), price(symbol="A\x00B"), price(price=4.0, timestamp=at)],
        ):
            loader = make_loader(lease, frames)
            loader.run()
            lease = take_lease("next")
            with database.autocommit() as cursor:
                cursor.execute(
                    "CALL refresh_continuous_aggregate('one_minute_candle', NULL, to_timestamp(%s))", (at + 60,)
                )
        assert rows(database, "SELECT low, high, tick_count FROM one_minute_candle") == [(2.0, 8.0, 4)]
        assert loader.metrics.rejected == 1
    finally:
        with database.transaction() as cursor:
            cursor.execute("DROP TRIGGER double ON stocks_real_time")
            cursor.execute("DROP FUNCTION double()")


def test_an_old_owner_can_no_longer_write(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    old = take_lease("old")
    make_loader(old, [price()]).run()
    new = take_lease("new")
    with pytest.raises(LeaseLostError, match="taken over"):
        make_loader(old._replace(position=new.position), [price()]).run()
    make_loader(new, [price()]).run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(3,)], "the old owner's frame too"
    assert new.epoch == old.epoch + 1


def test_a_batch_whose_commit_got_no_answer_is_not_stored_twice(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    lease = take_lease("one")
    frames = [price(price=float(number)) for number in range(1, 11)]
    make_loader(lease, frames).run()
    # The connection was lost after the commit, before its answer: the loader retries the same batch.
    loader = make_loader(lease, [])
    groups = [FrameGroup(0, sum(map(len, frames)), lease.epoch, 1, [time.time_ns()] * 10, frames)]
    loader._commit(prepare(decode_groups(groups, loader._decode), TradeMemory(), lease))
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(10,)]
    assert rows(database, "SELECT frames FROM ticks_platform.feed_checkpoint") == [(10,)]
    assert rows(database, "SELECT loaded FROM ticks_platform.feed_ledger") == [(10,)]


def test_new_ticks_are_stored_after_the_journal_lost_its_end(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, tmp_path: Path
) -> None:
    """Its next frames must not get positions that the database has already loaded."""
    make_loader(take_lease("one"), [price(), price(), price()]).run()
    for file in tmp_path.glob("journal.sqlite3*"):
        file.unlink()
    lost = Journal(tmp_path / "journal.sqlite3", feed="test", synthetic=True)
    lost.append([Frame(price(), time.time_ns(), 1)], epoch=1)
    lost.close()
    with sqlite3.connect(tmp_path / "journal.sqlite3") as connection:
        (journal_id,) = rows(database, "SELECT journal_id::text FROM ticks_platform.feed_checkpoint")[0]
        connection.execute("UPDATE journal SET journal_id = ?", (journal_id,))
    connection.close()
    lease = take_lease("two")
    make_loader(lease, [price(), price()]).run()
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(5, 5)]
    with database.autocommit() as cursor:
        account = audit.journal_account(cursor, "test", tmp_path / "journal.sqlite3")
    assert account is not None
    assert account.problems() == []


def test_a_checkpoint_moved_by_others_is_an_error(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    loader = make_loader(take_lease("one"), [price()])
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_checkpoint SET position = 10000000")
    with pytest.raises(CheckpointError, match="stay in the journal"):
        loader.run()
    assert loader.metrics.loaded == 0


def test_a_takeover_uses_up_no_journal_number(database: Database, take_lease: TakeLease) -> None:
    assert [take_lease("one").journal_number for _ in range(5)] == [1] * 5
    assert rows(database, "SELECT last_value FROM ticks_platform.feed_checkpoint_journal_number_seq") == [(1,)]


def test_a_paused_owner_is_fenced_off_even_if_a_restored_database_reuses_its_epoch(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    old = take_lease("old")
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_lease SET owner = 'new'")
    with pytest.raises(LeaseLostError):
        make_loader(old, [price()]).run()


def test_a_new_owner_continues_where_the_old_one_stopped(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    first = [price(), price()]
    make_loader(take_lease("one"), first).run()
    lease = take_lease("two")
    assert lease.position == sum(map(len, first))
    make_loader(lease, [price()]).run()
    assert rows(database, "SELECT count(*), count(DISTINCT tick_id) FROM stocks_real_time") == [(3, 3)]


def test_database_errors_are_retried(database: Database, take_lease: TakeLease, make_loader: LoaderOf) -> None:
    lease = take_lease("one")
    with database.transaction() as cursor:
        cursor.execute("ALTER TABLE stocks_real_time RENAME TO not_there_for_a_while")
    loader = make_loader(lease, [price(), price()])
    thread = threading.Thread(target=loader.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while loader.trouble is None and time.monotonic() < deadline:
            thread.join(0.02)
        assert loader.trouble is not None
        assert "does not exist" in loader.trouble
    finally:
        with database.transaction() as cursor:
            cursor.execute("ALTER TABLE not_there_for_a_while RENAME TO stocks_real_time")
        thread.join(30)
    assert not thread.is_alive()
    assert (loader.trouble, loader.metrics.loaded) == (None, 2)
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(2,)]


def test_a_connection_that_the_server_ends_is_replaced(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, server_url: str | None
) -> None:
    loader = make_loader(take_lease("one"), [price()])
    connection = loader._transactions.connect()
    if server_url is None:
        connection.close()  # the embedded server has one backend, which must not be terminated
    else:
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    loader.run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(1,)]


def test_abandoning_ends_a_loader_that_cannot_commit(take_lease: TakeLease, make_loader: LoaderOf) -> None:
    loader = make_loader(take_lease("one"), [price()])
    loader._transactions._database = Database("postgresql://nobody@127.0.0.1:1/nowhere")
    thread = threading.Thread(target=loader.run)
    thread.start()
    while loader.trouble is None:
        thread.join(0.02)
    loader.abandon()
    thread.join(60)
    assert not thread.is_alive()
    assert loader.metrics.loaded == 0


def test_the_next_transaction_sees_that_the_feed_was_disabled(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    lease = take_lease("one")
    with database.transaction() as cursor:
        switch.set_enabled(cursor, feed="test", provider="twelve_data", synthetic=True, enabled=False)
        assert switch.disabled(cursor, ["test", "unknown"]) == {"test"}
    loader = make_loader(lease, [price()])
    loader.run()
    assert not loader.renewed.enabled
    assert loader.metrics.loaded == 1, "received ticks are stored"


def test_changes_of_connection_state_are_stored_once(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    loader = make_loader(take_lease("one"), [price()])
    loader.record(Change(State.STREAMING, time.time_ns(), 3, "first\x00data"))
    loader.run()
    assert rows(database, "SELECT connection, state, detail FROM ticks_platform.feed_session") == [
        (3, "streaming", "first\\0data")
    ]


def test_synthetic_and_live_ticks_are_not_mixed(database: Database, take_lease: TakeLease) -> None:
    take_lease("one")
    with pytest.raises(leases.MixedDatabaseError, match="TICKS_DATABASE_URL"), database.transaction() as cursor:
        leases.take(
            cursor,
            feed="stocks",
            provider="twelve_data",
            synthetic=False,
            owner="one",
            journal_id=str(uuid.uuid4()),
            journal_start=None,
            journal_frames=0,
        )


def test_a_takeover_waits_for_the_old_owners_commit(
    database: Database, take_lease: TakeLease, server_url: str | None
) -> None:
    lease = take_lease("old")
    connection = database.connect()
    taken: list[Lease] = []
    with connection.cursor() as cursor:
        leases.renew(cursor, lease)
        cursor.execute("UPDATE ticks_platform.feed_checkpoint SET position = 77 WHERE feed = 'test'")
        new_owner = threading.Thread(target=lambda: taken.append(take_lease("new")))
        new_owner.start()
        new_owner.join(0.2)
        assert not taken
        connection.commit()
    new_owner.join(60)
    connection.close()
    assert taken[0].position == 77


def test_status_tells_who_holds_a_feed(database: Database, take_lease: TakeLease) -> None:
    take_lease("somebody")
    with database.transaction() as cursor:
        held = leases.status(cursor, "test")
        assert leases.status(cursor, "never seen") is None
    assert held is not None
    assert (held.owner, held.epoch, held.released) == ("somebody", 1, False)


def test_a_database_error_does_not_count_as_bad_data(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = make_loader(take_lease("one"), [price()])
    original, failures = (
        loader._store.store,
        iter([psycopg2.errors.DiskFull("no space"), psycopg2.errors.DeadlockDetected("dead")]),
    )

    def failing_copy(*arguments: object) -> object:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "store", lambda _store, *arguments: failing_copy(*arguments))
    loader.run()
    assert (loader.metrics.loaded, loader.metrics.rejected) == (1, 0)


def test_the_ledger_accounts_for_every_event_of_every_connection(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    lease = take_lease("one")
    loader = make_loader(lease, [])
    journal = loader._journal
    now = time.time_ns()
    journal._closing = False
    for connection, data in [(1, price()), (1, b"bad"), (2, price()), (2, b'{"event":"heartbeat"}'), (1, price())]:
        journal.append([Frame(data, now, connection), Frame(price(symbol="A\x00"), now, connection)], epoch=lease.epoch)
    journal.stop_appending()
    loader.run()
    ledger_rows = rows(
        database,
        "SELECT connection, frames, events, loaded, duplicate, rejected, control FROM ticks_platform.feed_ledger "
        "ORDER BY connection",
    )
    assert ledger_rows == [(1, 6, 6, 2, 0, 4, 0), (2, 4, 4, 1, 0, 2, 1)]
    with database.autocommit() as cursor:
        (account,) = audit.accounts(cursor)
        journal_account = audit.journal_account(cursor, "test", journal.path)
    assert (account.events, account.loaded, account.rejected, account.control) == (10, 3, 6, 1)
    assert account.problems() == []
    assert journal_account == ("test", 10, 10, 0, 0)
    assert journal_account.problems() == []
    with database.transaction() as cursor:
        cursor.execute(
            "DELETE FROM stocks_real_time WHERE tick_id = (SELECT min(tick_id::text)::uuid FROM stocks_real_time)"
        )
        (account,) = audit.accounts(cursor)
        hours = audit.hours(cursor)
    assert account.problems() == []
    gone, problem = hours.problems()
    assert gone.startswith("1 rows of stocks_real_time from ")
    assert problem.startswith("feed test: 3 events loaded of the hour ")
    assert problem.endswith(" UTC, but 2 rows in stocks_real_time")
    assert rows(database, "SELECT count(*) FROM ticks_platform.rejected_event") == [(6,)]


def test_a_check_constraint_rejects_an_unbalanced_ledger(database: Database, take_lease: TakeLease) -> None:
    lease = take_lease("one")
    now = datetime.now(timezone.utc)
    entry = Entry(
        lease.epoch,
        1,
        now,
        now,
        frames=1,
        events=2,
        loaded=1,
        replaced=0,
        duplicate=0,
        rejected=0,
        control=0,
        last_data_at=now,
    )
    with pytest.raises(psycopg2.errors.CheckViolation), database.transaction() as cursor:
        ledger.add(cursor, "test", [entry])


def test_a_failing_connector_does_not_stop_the_feed(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf
) -> None:
    def decode(frame: bytes) -> list[object]:
        if frame == b"boom":
            raise KeyError("boom")
        if frame == b"odd":
            return ["not an event"]
        return [
            Tick("AAPL", time.time_ns() // 10**9 * 10**9, 1.0),
            Tick("AAPL", "yesterday", 1.0) if frame == b"mistyped" else Tick("AAPL", 10**30, 1.0),
        ]

    loader = make_loader(take_lease("one"), [b"boom", b"odd", b"mistyped", b"overflow"], decode=decode)  # type: ignore[arg-type]
    loader.run()
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(2,)]
    assert rows(database, "SELECT events, loaded, rejected FROM ticks_platform.feed_ledger") == [(6, 2, 4)]


def test_large_batches_go_directly_into_the_columnstore_if_the_server_supports_it(
    database: Database, take_lease: TakeLease, make_loader: LoaderOf, server_url: str | None
) -> None:
    loader = make_loader(take_lease("one"), [])
    journal = loader._journal
    journal._closing = False
    now = time.time_ns()
    for begin in range(0, 12_000, 500):
        journal.append([Frame(price(price=float(begin + i + 1)), now, 1) for i in range(500)], epoch=1)
    journal.stop_appending()
    loader.run()
    assert rows(database, "SELECT count(*), sum(price), count(DISTINCT tick_id) FROM stocks_real_time") == [
        (12_000, 72_006_000.0, 12_000)
    ]
    compressed = rows(database, "SELECT is_compressed FROM timescaledb_information.chunks")
    assert compressed == [(server_url is not None,)], "the embedded release does not support this reliably"
    assert rows(database, "SELECT sum(tick_count), max(close) FROM one_minute_candle") == [(12_000, 12_000.0)]


def test_a_loader_that_executes_a_statement_is_active(database: Database, server_url: str | None) -> None:
    """It sends no heartbeat while it waits for a lock; the supervisor must not presume it dead."""
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "the embedded database has one session, which is never busy when it is queried")
    connection = database.connect(leases.application_name("test"))
    with connection.cursor() as cursor, database.autocommit() as asking:
        assert not leases.loader_is_active(asking, "test")
        thread = threading.Thread(target=cursor.execute, args=("SELECT pg_sleep(1)",))
        thread.start()
        deadline = time.monotonic() + 60
        while not leases.loader_is_active(asking, "test"):
            assert time.monotonic() < deadline
        thread.join()
        assert not leases.loader_is_active(asking, "test")
    connection.close()


def test_a_hand_over_that_only_the_fenced_journal_told_of_ends_it_as_handed_over(
    database: Database,
    take_lease: TakeLease,
    make_loader: LoaderOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The successor takes the lease, and fences the journal, after the last commit and before the next heartbeat."""
    lease = take_lease("one")
    made = make_loader(lease, [])
    with contextlib.closing(Journal(tmp_path / "successor.sqlite3", feed="test", synthetic=True)) as journal:

        def hand_over(_preparing: object) -> None:
            with database.transaction() as cursor:
                status = leases.status(cursor, "test")
                assert status is not None
                planned = handover.announce(cursor, owner="two", feed="test", predecessor=status, journal=journal)
                handover.take(cursor, planned, journal)

        monkeypatch.setattr(made, "_load", hand_over)
        with pytest.raises(HandedOverError) as told:
            made.run()
    assert told.value.successor == "two"
    with database.transaction() as cursor:
        status = leases.status(cursor, "test")
    assert status is not None
    assert (status.owner, status.released) == ("two", False)
