"""What takes longer: run by `make soak` alone, since pytest collects no file of this name by itself."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal_copy import restore
from ticks_platform.ingestion.journal_copy.connection import CopyIncompleteError
from ticks_platform.ingestion.journal_copy.restore import Known, Reading
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.journal_copy.conftest import MakeJournal, MakeShipper, append, await_shipped, read
from ticks_platform_tests.ingestion.journal_copy.machine import Machine
from ticks_platform_tests.ingestion.journal_copy.test_faults import damage, settings_of
from ticks_platform_tests.ingestion.journal_copy.test_lost_machine import (
    await_stored,
    committed,
    elsewhere,
    end_of,
    frames_of,
    is_all_of_it,
    position_of,
    positions_of,
    restored_from_an_older_state,
    send,
    sent,
    stored,
    waits,
)
from ticks_platform_tests.support.ingestion import unbalanced
from ticks_platform_tests.support.nats_servers import NatsServers, await_that, nats_servers
from ticks_standin import StandIn

ROUNDS = int(os.environ.get("TICKS_COPY_FAULTS") or 3)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or random.randrange(1_000_000))


def texts(journal: Journal) -> list[bytes]:
    return [frame for group in journal.peek() for frame in group.frames]


def test_machines_are_lost_one_after_another_while_servers_die(
    machine: Callable[[str], Machine], servers: NatsServers, stand_in: StandIn, database: Database
) -> None:
    """Each machine is destroyed with its disk while the database is away, once all that it has is copied."""
    print(f"\nTICKS_SOAK_SEED={SEED} TICKS_COPY_FAULTS={ROUNDS}")
    rng = random.Random(SEED)
    events: list[tuple[str, float]] = []
    for number in range(ROUNDS):
        each = machine(f"machine{number}")
        before = set(_connections(stand_in))
        send(stand_in, rng.randint(1, 300))
        dead = rng.choice([None, *servers.servers])
        if dead is not None:
            dead.kill()
        if rng.random() < 0.8:
            each.cut_off()
        send(stand_in, rng.randint(1, 2000))
        mine = [number for number in _connections(stand_in) if number not in before]
        new = [
            (event["symbol"], event["price"])
            for connection in stand_in.account().connections
            if connection.number in mine
            for event in connection.price_events_sent()
        ]
        # Each connection had its answer to the subscription too.
        expected = len(new) + len(mine)
        await_that(lambda: frames_of(each) >= expected, "all is in the journal", say=each.tail)  # noqa: B023
        arrived = 0
        while arrived != (arrived := frames_of(each)):
            each.await_all_copied()
        each.destroy()
        events += new
        if dead is not None:
            servers.start(dead.name)
    last = machine("last")
    await_stored(database, len(events), last)
    assert is_all_of_it(database, events)
    assert not unbalanced(database)
    last.stop()


@pytest.mark.parametrize("stored_since", [False, True])
def test_what_a_disk_has_no_more_that_was_restored_from_an_older_state_is_read_from_the_copy(
    machine: Callable[[str], Machine], stand_in: StandIn, database: Database, *, stored_since: bool
) -> None:
    restored_from_an_older_state(machine, stand_in, database, stored_since=stored_since)


def _connections(stand_in: StandIn) -> list[int]:
    return [connection.number for connection in stand_in.account().connections]


def test_what_was_not_copied_is_known_to_the_byte(
    machine: Callable[[str], Machine], servers: NatsServers, stand_in: StandIn, database: Database
) -> None:
    one = machine("one")
    send(stand_in, 100)
    await_stored(database, 100, one)
    one.await_all_copied()
    one.cut_off()
    send(stand_in, 100)
    one.await_all_copied(waiting=1)
    await_that(lambda: frames_of(one) >= 200, "all is in the journal", say=one.tail)
    one.await_all_copied()
    copied = end_of(one)
    frozen = servers.servers[1:]
    for server in frozen:
        server.freeze()
    try:
        # These are published, and nobody acknowledges them.
        send(stand_in, 50)
        await_that(lambda: one.told().trouble is not None, "it says why", say=one.told)  # type: ignore[union-attr]
        send(stand_in, 100)
        await_that(lambda: frames_of(one) >= 350, "all is in the journal", say=one.tail)
        end = end_of(one)
        one.await_told("how much is not copied", bytes=end - copied, waiting=end - committed(database))
        positions = positions_of(one)
        events = sent(stand_in)
        one.destroy()
    finally:
        for server in frozen:
            server.thaw()
    servers.wait()
    other = machine("other")
    send(stand_in, 10)
    # Its own frames are loaded last.
    await_that(lambda: frames_of(other) >= 10 and waits(other, database) == 0, "all is loaded", say=other.tail)
    # The message that nobody had acknowledged may be in the stream all the same; of the others, none is.
    kept = stored(database)[0] - 10
    assert 200 <= kept <= 250
    assert is_all_of_it(database, events[:kept] + sent(stand_in)[-10:])
    (left,) = elsewhere(database)
    position = position_of(database, left.journal_id)
    assert copied <= position == [*positions, end][len(positions) - (350 - kept)]
    assert not unbalanced(database)
    other.stop()


def test_the_leader_is_killed_while_frames_are_copied(
    own: NatsServers, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    """The receiver's appends do not wait for that, and each frame is in the stream once."""
    settings, journal = settings_of(own), make_journal()
    shipper = ship(settings, journal)
    append(journal, "first")
    await_shipped(shipper)
    slowest = 0.0
    own.leader("own").kill()
    for number in range(20):
        began = time.monotonic()
        append(journal, f"frame {number}")
        slowest = max(slowest, time.monotonic() - began)
    await_shipped(shipper)
    found = read(settings, journal, journal.end)
    assert [frame for group in found for frame in group.frames] == texts(journal)
    assert slowest < 5.0


def test_what_every_replica_has_lost_is_said_and_what_is_before_is_read(
    own: NatsServers, make_journal: MakeJournal, ship: MakeShipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, journal = settings_of(own), make_journal()
    shipper = ship(settings, journal)
    for number in range(40):
        append(journal, f"<frame {number}>" + "x" * 2000)
        await_shipped(shipper)
    shipper.stop()
    damage(own, own.servers)
    monkeypatch.setattr(restore, "MISSING_FOR", 1.0)
    reading = Reading(settings, "test", Known(journal.journal_id, 0, 0), journal.end, stopping=threading.Event())
    groups = list(journal.peek())
    with pytest.raises(
        CopyIncompleteError, match=f"positions {groups[20].position} to {groups[21].position} are missing"
    ):
        list(reading.bundles())
    assert reading.position == groups[20].position


def test_after_a_disk_was_full_all_is_copied_once_there_is_room_and_the_server_is_started_again(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    """The server that leads; others may take its place, or nobody answers until then."""
    with nats_servers(tmp_path / "full", disk_megabytes=96) as three:
        settings, journal = settings_of(three), make_journal()
        shipper = ship(settings, journal)
        append(journal, "first")
        await_shipped(shipper)
        leader = three.leader("own")
        assert leader.disk is not None
        leader.disk.fill()
        for number in range(40):
            append(journal, f"<frame {number}>" + "x" * 100_000)
        leader.disk.free()
        leader.kill()
        three.start(leader.name)
        await_shipped(shipper)
        found = read(settings, journal, journal.end)
        assert [frame for group in found for frame in group.frames] == texts(journal)
