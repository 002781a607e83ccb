"""Machines that are lost with their disk while the database is away, that freeze, and that return."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import heard_journals
from ticks_platform.ingestion.handover.takeover import Takeover
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.journal_pair import JournalPair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.journal_copy.copy import JournalCopy
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.journal_copy.machine import TAKEN_OVER, Machine, copied_feed
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.nats_servers import NatsServers, await_that
from ticks_standin import StandIn

pytestmark = pytest.mark.full


def send(stand_in: StandIn, ticks: int) -> None:
    stand_in.wait_until_subscribed("AAPL", "BTC/USD", timeout_s=60)
    stand_in.send_exactly(ticks, timeout_s=60)


def await_stored(database: Database, ticks: int, *machines: Machine) -> None:
    def say() -> str:
        return f"{stored(database)} {' '.join(each.tail() for each in machines)}"

    await_that(lambda: stored(database)[0] >= ticks, f"{ticks} ticks are stored", say=say)


def stored(database: Database) -> tuple[int, ...]:
    (row,) = rows(database, "SELECT count(*), count(DISTINCT (symbol, time, price, day_volume)) FROM stocks_real_time")
    return row


def sent(stand_in: StandIn) -> list[tuple[str, float]]:
    """The events that were handed to the sockets of all machines, once each."""
    return [
        (event["symbol"], event["price"])
        for connection in stand_in.account().connections
        for event in connection.price_events_sent()
    ]


def is_all_of_it(database: Database, events: list[tuple[str, float]]) -> bool:
    found = Counter(rows(database, "SELECT symbol, price FROM stocks_real_time"))
    expected = Counter(events)
    assert (found - expected, expected - found) == (Counter(), Counter())
    return True


def test_a_machine_is_lost_with_its_disk_while_the_database_is_away(
    machine: Callable[[str], Machine], stand_in: StandIn, database: Database
) -> None:
    """All that was copied is loaded once, by a machine with an empty disk."""
    one = machine("one")
    send(stand_in, 200)
    await_stored(database, 200, one)
    one.cut_off()
    send(stand_in, 300)
    one.await_all_copied(waiting=1)
    end = end_of(one)
    await_that(lambda: end_of(one) == end and one.told().bytes == 0, "nothing more comes")  # type: ignore[union-attr]
    one.destroy()
    other = machine("other")
    await_stored(database, 500, one, other)
    send(stand_in, 100)
    await_stored(database, 600, other)
    assert is_all_of_it(database, sent(stand_in))
    assert not unbalanced(database)
    # Its machine cannot tell that this was all: that is for a person to say.
    (left,) = elsewhere(database)
    assert (left.frames, left.bytes, left.is_open) == (0, 0, True)
    other.await_all_copied()
    other.stop()
    # Nothing is read twice.
    third = machine("third")
    send(stand_in, 50)
    await_stored(database, 650, third)
    assert is_all_of_it(database, sent(stand_in))
    third.stop()


def test_a_machine_that_freezes_is_shut_out_and_what_it_had_is_loaded_once_when_it_returns(
    machine: Callable[[str], Machine], servers: NatsServers, stand_in: StandIn, database: Database
) -> None:
    one = machine("one")
    send(stand_in, 100)
    await_stored(database, 100, one)
    one.cut_off()
    send(stand_in, 100)
    one.await_all_copied(waiting=1)
    # Part of what it has is on its disk alone.
    for server in servers.servers:
        server.freeze()
    try:
        send(stand_in, 50)
        await_that(lambda: one.told().trouble is not None, "these are on their way", say=one.told)  # type: ignore[union-attr]
        send(stand_in, 50)
        await_that(lambda: frames_of(one) >= 300, "all is in the journal", say=one.tail)
        one.signal(signal.SIGSTOP)
    finally:
        for server in servers.servers:
            server.thaw()
    servers.wait()
    other = machine("other")
    await_stored(database, 200, one, other)
    other.await_all_copied()
    # It wakes, reaches the stream first, and is no longer its owner. Nothing of it is copied any more.
    one.signal(signal.SIGCONT)
    await_that(lambda: "another owner" in str(one.told()), "it is shut out", say=one.tail)
    assert one.told().bytes > 0  # type: ignore[union-attr]
    one.connect()
    assert one.process is not None
    one.process.wait(60)
    assert one.process.exit_code == TAKEN_OVER
    other.stop()
    before = stored(database)
    one.start()
    one.await_all_copied()
    await_that(lambda: waits(one, database) == 0, "what it had is loaded", say=one.tail)
    assert 200 <= before[0] <= 250
    assert stored(database)[0] == 300
    one.stop()
    # What both received while the first one slept is no new event.
    assert is_all_of_it(database, _of_first_connection(stand_in))
    assert not unbalanced(database)
    assert not elsewhere(database)


def test_what_two_machines_received_until_one_was_shut_out_is_stored_once(
    servers: NatsServers, tmp_path: Path, stand_in: StandIn, database: Database
) -> None:
    """The first one lives on without the database, and copies until the second one has published its marker."""
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
        # The second one takes its time for the marker: it asks this one first whether it syncs each message.
        monitors = [f"http://127.0.0.1:{silent.getsockname()[1]}", *servers.monitors]
        feed = copied_feed(servers.settings(stream="both", monitoring=monitors))
        url = stand_in.url("twelve_data", key=None)
        one, other = (Machine(name, tmp_path, feed, url, database) for name in ("one", "other"))
        for each in (one, other):
            stack.callback(each.close)
        one.start()
        send(stand_in, 100)
        await_stored(database, 100, one)
        one.await_all_copied()
        one.cut_off()
        other.start()
        await_that(lambda: _connections_that_receive(stand_in) == 2, "both receive", say=other.tail)
        send(stand_in, 300)
        other.await_all_copied()
        await_stored(database, 400, one, other)
        await_that(lambda: waits(other, database) == 0, "all of its own is loaded", say=other.tail)
        assert is_all_of_it(database, _of_first_connection(stand_in))
        assert not unbalanced(database)
        other.stop()


def test_a_copy_that_cannot_be_read_at_first_is_read_once_the_servers_are_back(
    machine: Callable[[str], Machine], servers: NatsServers, stand_in: StandIn, database: Database
) -> None:
    """Without another start; until then, the account says what waits elsewhere."""
    one = machine("one")
    send(stand_in, 100)
    await_stored(database, 100, one)
    one.await_all_copied()
    # The database hears of these, and never gets them.
    one.cut_off()
    send(stand_in, 200)
    one.await_all_copied(waiting=1)
    await_that(lambda: frames_of(one) >= 300, "all is in the journal", say=one.tail)
    one.await_all_copied(waiting=1)
    end = end_of(one)
    one.destroy()
    for server in servers.servers:
        server.freeze()
    try:
        other = machine("other")
        send(stand_in, 100)
        await_stored(database, 200, other)
        await_that(lambda: "not read back yet" in str(other.told()), "it says what it could not do", say=other.told)
        (waiting,) = elsewhere(database)
        assert waiting.is_open
        assert stored(database)[0] == 200
    finally:
        for server in servers.servers:
            server.thaw()
    servers.wait()
    await_stored(database, 400, other)
    other.await_all_copied()
    assert is_all_of_it(database, sent(stand_in))
    assert not unbalanced(database)
    (left,) = elsewhere(database)
    assert (left.frames, left.bytes, position_of(database, left.journal_id)) == (0, 0, end)
    other.stop()


def restored_from_an_older_state(
    machine: Callable[[str], Machine], stand_in: StandIn, database: Database, *, stored_since: bool
) -> None:
    """`stored_since` tells whether the database has more than the disk then."""
    one = machine("one")
    send(stand_in, 100)
    await_stored(database, 100, one)
    if not stored_since:
        one.cut_off()
    send(stand_in, 100)
    one.await_all_copied()
    one.signal(signal.SIGSTOP)
    older = one.disk.with_name("older")
    shutil.copytree(one.disk, older)
    one.signal(signal.SIGCONT)
    if stored_since:
        send(stand_in, 100)
        await_stored(database, 300, one)
        one.cut_off()
    send(stand_in, 100)
    await_that(lambda: frames_of(one) >= 300 + 100 * stored_since, "all is in the journal", say=one.tail)
    one.await_all_copied(waiting=1)
    one.destroy()
    older.rename(one.disk)
    one.connect()
    one.start()
    received = 350 + 100 * stored_since
    send(stand_in, 50)
    await_stored(database, received, one)
    # It is copied again: the next machine has what is received from now on.
    one.await_all_copied()
    one.cut_off()
    send(stand_in, 50)
    one.await_all_copied(waiting=1)
    end = end_of(one)
    await_that(lambda: end_of(one) == end and one.told().bytes == 0, "nothing more comes")  # type: ignore[union-attr]
    one.destroy()
    other = machine("other")
    await_stored(database, received + 50, one, other)
    other.await_all_copied()
    assert is_all_of_it(database, sent(stand_in))
    assert not unbalanced(database)
    other.stop()


def _connections_that_receive(stand_in: StandIn) -> int:
    return sum({"AAPL", "BTC/USD"} <= set(each.subscribed) for each in stand_in.account().connections)


def end_of(machine: Machine) -> int:
    with journal_view(machine.journal) as journal:
        return journal.end


def frames_of(machine: Machine) -> int:
    with journal_view(machine.journal) as journal:
        return journal.frames_appended


def positions_of(machine: Machine) -> list[int]:
    """The positions of the frames in its journal."""
    with contextlib.closing(journal_file.connect_read_only(machine.journal)) as connection:
        return [
            int(position) for group in journal_file.groups(connection, 0, 1 << 62) for position in group.positions()
        ]


def committed(database: Database) -> int:
    ((position,),) = rows(database, "SELECT max(position) FROM ticks_platform.feed_checkpoint")
    return int(position)


def waits(machine: Machine, database: Database) -> int:
    with journal_view(machine.journal) as journal:
        return journal.waiting_after(position_of(database, journal.journal_id)).frames


def position_of(database: Database, journal_id: str) -> int:
    ((position,),) = rows(
        database, f"SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_id = '{journal_id}'"
    )
    return int(position)


def elsewhere(database: Database, *, owned: bool = False) -> list[heard_journals.Elsewhere]:
    with database.transaction() as cursor:
        return [each for each in heard_journals.elsewhere(cursor) if owned or not each.is_owned]


def _of_first_connection(stand_in: StandIn) -> list[tuple[str, float]]:
    connections = stand_in.account().connections
    return [(event["symbol"], event["price"]) for event in connections[0].price_events_sent()]


def test_a_planned_hand_over_goes_on_with_the_copy(
    servers: NatsServers, tmp_path: Path, stand_in: StandIn, database: Database
) -> None:
    """The successor's marker shuts its predecessor out, which has nothing left to copy."""
    feed = FeedSettings.model_validate(copied_feed(servers.settings(stream="planned"), overlap=False))

    def ingestion(owner: str, *, follow: bool) -> Ingestion:
        connector = feed.connector(stand_in_url=stand_in.url("twelve_data", key=None))
        file = tmp_path / "test.sqlite3"
        return Ingestion(
            feed=feed, connector=connector, database=database, owner=owner, journal_file=file, follow=follow
        )

    def is_copied(each: Ingestion) -> bool:
        return each.progress().unshipped == (0, 0.0, None)

    with ingestion("first", follow=False) as first:
        send(stand_in, 100)
        await_that(lambda: is_copied(first), "all is copied")
        with ingestion("second", follow=True) as second:
            assert first.wait(60)
            assert first.successor == "second"
            await_that(lambda: is_copied(second), "the successor copies")
            send(stand_in, 100)
            await_that(lambda: second.progress().loaded >= 100, "all is stored")
            await_that(lambda: is_copied(second), "all is copied")
    assert stored(database)[0] == 200
    assert not unbalanced(database)


def test_the_database_hears_of_a_journal_before_it_is_copied(
    servers: NatsServers, tmp_path: Path, database: Database
) -> None:
    """The database may be away from then on: the next machine looks for what the database has heard of."""
    feed = FeedSettings.model_validate(copied_feed(servers.settings(stream="heard")))
    stopping = threading.Event()
    takeover = Takeover(
        feed=feed,
        owner="first",
        database=database,
        journals=JournalPair(tmp_path / "test.sqlite3", feed),
        stopping=stopping,
    )
    lease, journal, _ = takeover.take()
    copy = JournalCopy(feed, lease, [journal], takeover.until_committed, stopping)
    try:
        copy.start()
        (left,) = elsewhere(database, owned=True)
        assert (left.journal_id, left.is_open) == (journal.journal_id, True)
    finally:
        copy.stop()
        journal.close()
