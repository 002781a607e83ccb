"""Three servers for all tests that do not break them, and a feed that copies its journal there."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.journal_copy import JetStreamSettings
from ticks_platform.ingestion.journal import file as journal_file
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal_copy import messages
from ticks_platform.ingestion.journal_copy.connection import Answer, NatsConnection
from ticks_platform.ingestion.journal_copy.restore import Known, Reading
from ticks_platform.ingestion.journal_copy.shipper import Shipper
from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.journal_copy.machine import Machine, copied_feed
from ticks_platform_tests.support.nats_servers import NatsServers, await_that, nats_servers
from ticks_standin import StandIn

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    """Three servers that sync each message."""
    with nats_servers(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture
def own(tmp_path: Path) -> Iterator[NatsServers]:
    """Servers that the test may break."""
    with nats_servers(tmp_path / "own") as started:
        yield started


@pytest.fixture
def copy_settings(servers: NatsServers) -> JetStreamSettings:
    """A stream of the test's own."""
    return JetStreamSettings.model_validate(servers.settings(stream=f"test-{next(_numbers)}"))


class MakeJournal(Protocol):
    """Opens a journal in the test's folder."""

    def __call__(self, name: str = "one") -> Journal: ...


@pytest.fixture
def make_journal(tmp_path: Path) -> Iterator[MakeJournal]:
    """Journals of the feed `test`, each on a machine of its own."""
    opened: list[Journal] = []

    def make(name: str = "one") -> Journal:
        opened.append(Journal(tmp_path / name / "test.sqlite3", feed="test", synthetic=True))
        return opened[-1]

    yield make
    for journal in opened:
        journal.close()


class MakeShipper(Protocol):
    """Starts a shipper of journals."""

    def __call__(self, settings: JetStreamSettings, *journals: Journal, epoch: int = 1) -> Shipper: ...


@pytest.fixture
def ship() -> Iterator[MakeShipper]:
    """Shippers, which end with the test."""
    started: list[Shipper] = []

    def make(settings: JetStreamSettings, *journals: Journal, epoch: int = 1) -> Shipper:
        shipper = Shipper(settings, "test", epoch=epoch, owner=f"run {epoch}", journals=journals)
        started.append(shipper)
        shipper.start()
        return shipper

    yield make
    for shipper in started:
        shipper.stop()


@pytest.fixture
def machine(
    servers: NatsServers, tmp_path: Path, stand_in: StandIn, database: Database
) -> Iterator[Callable[[str], Machine]]:
    """Machines that ingest one feed."""
    made: list[Machine] = []
    feed = copied_feed(servers.settings(stream=f"lost-{next(_numbers)}"))

    def make(name: str) -> Machine:
        made.append(Machine(name, tmp_path, feed, stand_in.url("twelve_data", key=None), database))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.close()


def append(journal: Journal, *texts: str, epoch: int = 1) -> None:
    """Append a group of frames."""
    journal.append([Frame(text.encode(), time.time_ns(), 1) for text in texts], epoch=epoch)


def await_shipped(shipper: Shipper) -> None:
    """Wait until all is copied."""
    await_that(lambda: shipper.unshipped()[::2] == (0, None), "all is copied", say=shipper.unshipped)


def read(settings: JetStreamSettings, journal: Journal, end: int, *, begin: int = 0) -> list[FrameGroup]:
    """The groups of a journal as the stream has them."""
    reading = Reading(settings, "test", Known(journal.journal_id, begin, 0), end, stopping=threading.Event())
    groups = [group for bundle in reading.bundles() for group in bundle.groups]
    return [as_frames(group) for group in groups]


def as_frames(group: messages.Group) -> FrameGroup:
    """A group as a journal gives it."""
    contents = journal_file.decode(group.data, position=group.position, end=group.end)
    return FrameGroup(group.position, group.end, *msgspec.structs.astuple(contents))


def refused(settings: dict[str, Any], words: str, journals: MakeJournal, ship: MakeShipper) -> None:
    """Nothing is copied to these servers, and it is said why."""
    journal = journals()
    append(journal, "frame")
    shipper = ship(JetStreamSettings.model_validate(settings), journal)
    await_that(lambda: words in (shipper.unshipped().trouble or ""), words, say=shipper.unshipped)
    assert shipper.unshipped().bytes == journal.end > 0


def on_connection(settings: JetStreamSettings, work: Callable[[NatsConnection], Any], server: str | None = None) -> Any:
    """Do something with a connection of one's own."""
    connection = NatsConnection(settings, server or settings.servers[0], name="test", stopping=threading.Event())
    try:
        return work(connection)
    finally:
        connection.close()


def stored(settings: JetStreamSettings, journal: Journal) -> Sequence[Answer]:
    """The messages of a journal that the stream has."""
    stream = settings.stream_of("test")
    subject = messages.journal_subject(stream, journal.journal_id)

    def work(connection: NatsConnection) -> list[Answer]:
        found: list[Answer] = []
        while part := connection.read(stream, subject, int(found[-1].headers["Nats-Sequence"]) + 1 if found else 1):
            found += part
        return found

    found: list[Answer] = on_connection(settings, work)
    return found
