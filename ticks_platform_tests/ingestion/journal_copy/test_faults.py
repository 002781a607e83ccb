"""Servers that die, disks that lose a bit or are full: nothing that was acknowledged is lost, and no feed waits."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal_copy import connection
from ticks_platform.ingestion.journal_copy.connection import CopyError
from ticks_platform_tests.ingestion.journal_copy.conftest import (
    MakeJournal,
    MakeShipper,
    append,
    await_shipped,
    on_connection,
    read,
    stored,
)
from ticks_platform_tests.support.nats_servers import NatsServer, NatsServers, await_that, nats_servers

pytestmark = pytest.mark.full


def settings_of(servers: NatsServers, **more: Any) -> JetStreamSettings:
    return JetStreamSettings.model_validate(servers.settings(stream="own", **more))


def texts(journal: Journal) -> list[bytes]:
    return [frame for group in journal.peek() for frame in group.frames]


def test_a_bit_that_one_replica_has_lost_is_read_from_another_one(
    own: NatsServers, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    """The damaged one leads, says that it is current, and leaves the message out."""
    settings, journal = settings_of(own), make_journal()
    shipper = ship(settings, journal)
    for number in range(40):
        append(journal, f"<frame {number}>" + "x" * 2000)
        await_shipped(shipper)
    assert len(stored(settings, journal)) == 40
    shipper.stop()
    victim = own.servers[1]
    damage(own, [victim])
    await_that(lambda: lead(own, settings, victim), f"{victim.name} leads")
    # Any replica answers: without another look, the message is missing in some of the readings.
    await_that(lambda: len(stored(settings, journal)) == 39, "the damaged replica answers")
    for _ in range(5):
        assert len(read(settings, journal, journal.end)) == 40
    # The next owner reads the end from whoever has it.
    marked = ship(settings, make_journal("other"), epoch=2).wait_marked(60)
    assert marked is not None
    assert marked.ends == {journal.journal_id: journal.end}


def test_a_stream_that_is_full_takes_frames_again_once_some_are_committed(
    servers: NatsServers, make_journal: MakeJournal, ship: MakeShipper
) -> None:
    settings = JetStreamSettings.model_validate(servers.settings(stream="full", max_megabytes=16))
    journal = make_journal()
    shipper = ship(settings, journal)
    append(journal, "first")
    await_shipped(shipper)
    for number in range(40):
        append(journal, f"{number:03}" + "x" * (512 << 10))
    await_that(lambda: "is full" in (shipper.unshipped().trouble or ""), "the stream is full", say=shipper.unshipped)
    waiting = shipper.unshipped().bytes
    assert waiting > 0
    # A new owner gets in all the same.
    other = ship(settings, make_journal("other"), epoch=2)
    marked = other.wait_marked(60)
    assert marked is not None
    assert marked.ends[journal.journal_id] == journal.end - waiting
    # And the owner after that one goes on once something is committed.
    third = ship(settings, journal, epoch=3)
    journal.take(max_bytes=8 << 20, linger=0, wait=1)
    journal.trim(journal.end - (1 << 20))
    await_shipped(third)


def test_disks_of_servers_that_are_full_stop_the_copy_and_not_the_feed(
    tmp_path: Path, make_journal: MakeJournal, ship: MakeShipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers have 24 MB each, less than the stream may take."""
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 2.0)
    with nats_servers(tmp_path / "small", disk_megabytes=24) as small:
        journal = make_journal()
        shipper = ship(settings_of(small), journal)
        append(journal, "first")
        await_shipped(shipper)
        for number in range(64):
            append(journal, f"{number:03}" + "x" * (512 << 10))
        await_that(lambda: shipper.unshipped().trouble is not None, "it says why", say=shipper.unshipped)
        before = shipper.unshipped().bytes
        assert before > 8 << 20
        append(journal, "received all the same")
        assert shipper.unshipped().bytes >= before
        assert journal.end == len("first") + 64 * (3 + (512 << 10)) + len("received all the same")


def flip(server: NatsServer, text: bytes) -> int:
    """Flip a bit of this text wherever a server that has ended has stored it; returns how often."""
    found = 0
    for file in server.blocks:
        data = bytearray(file.read_bytes())
        at = data.find(text)
        while at >= 0:
            data[at + 1] ^= 1
            found += 1
            at = data.find(text, at + 1)
        file.write_bytes(data)
    return found


def damage(servers: NatsServers, victims: Sequence[NatsServer]) -> None:
    """Lose a bit of one message on the disks of these servers, which do not look when they start."""
    for server in servers.servers:
        server.end()
    for victim in victims:
        assert flip(victim, b"<frame 20>")
    servers.start()


def lead(servers: NatsServers, settings: JetStreamSettings, server: NatsServer) -> bool:
    """Let a server lead the stream; whether it does."""
    if servers.leader("own") is server:
        return True
    body = {"placement": {"preferred": server.name}}
    with contextlib.suppress(CopyError):
        on_connection(settings, lambda connection: connection.api("STREAM.LEADER.STEPDOWN.own", body))
    return False
