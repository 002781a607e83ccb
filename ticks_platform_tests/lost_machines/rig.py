"""The feeds' market, three NATS servers, a network to them and to the database, and the machines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy

from ticks_platform.ingestion import audit, heard_journals
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.lost_machines.machine import Machine
from ticks_platform_tests.support.made_and_stored import story, unaccounted
from ticks_platform_tests.support.nats_servers import NatsServer, NatsServers, await_that
from ticks_standin import StandIn, StandInSettings

KEY = "TICKS_TEST_LOST_MACHINES_KEY"
FEEDS = {"with_ids": ("AAPL", "MSFT"), "without_ids": ("BTC/USD", "ETH/USD")}
RATE = 400.0
"""Ticks a second, of all symbols together."""

SETTLED = timedelta(seconds=1)
"""Of this age, an event has arrived if it will."""

DISK_MEGABYTES = 128
"""Of each NATS server."""


class Rig:
    """What the campaign breaks and looks at. A context manager."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.database = database
        self._stack = contextlib.ExitStack()
        self._machines: list[Machine] = []
        self.owner: Machine
        """The machine whose turn it is."""
        self.away: list[Machine] = []
        """Machines that stand still, with their disks."""
        self.declared: list[str] = []
        """Journals of machines that were destroyed."""
        self.began = self.checked_until = datetime.now(timezone.utc)

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._stack.close()

    def _open(self, stack: contextlib.ExitStack) -> None:
        self.servers = NatsServers(self.folder / "nats", disk_megabytes=DISK_MEGABYTES)
        stack.callback(self.servers.stop)
        self.servers.start()
        market = StandInSettings(rate=RATE, history_events=5_000_000, polygon_tape="plain", max_connections=20)
        self.stand_in = stack.enter_context(StandIn(market))
        self.to_database = stack.enter_context(Relay(self.database.url()))
        self.to_servers = [
            stack.enter_context(Relay(f"postgresql://127.0.0.1:{server.port}/nats")) for server in self.servers.servers
        ]
        self._feeds = self._settings()
        stack.callback(self._end_machines)
        self.owner = self.new_machine()
        self.owner.start()

    def _end_machines(self) -> None:
        for machine in self._machines:
            machine.kill()

    def _settings(self) -> list[dict[str, Any]]:
        ports = [sqlalchemy.make_url(relay.url).port for relay in self.to_servers]
        copy = {
            "servers": [f"nats://127.0.0.1:{port}" for port in ports],
            "monitoring": self.servers.monitors,
            "max_megabytes": 64,
        }
        common = {
            "synthetic_endpoint": True,
            "api_key_env": KEY,
            "calendar": "always",
            "hours": "always",
            "repair": {"enabled": False},
            "journal": {"copy": {"jetstream": copy}},
        }
        polygon: dict[str, Any] = {
            "provider": "polygon",
            "endpoint": self.stand_in.url("polygon", key=None),
            "true_up": "off",
            "options": {"market": "stocks", "channels": ["T"]},
        }
        twelve_data = {"provider": "twelve_data", "endpoint": self.stand_in.url("twelve_data", key=None)}
        return [
            {"name": "with_ids", **common, **polygon, "symbols": list(FEEDS["with_ids"])},
            {"name": "without_ids", **common, **twelve_data, "symbols": list(FEEDS["without_ids"])},
        ]

    def new_machine(self) -> Machine:
        """A machine with an empty disk."""
        machine = Machine(f"machine{len(self._machines) + 1}", self.folder, self._feeds, self.to_database.url)
        self._machines.append(machine)
        return machine

    @contextlib.contextmanager
    def without_servers(self) -> Iterator[None]:
        """The links to all NATS servers are cut within the block."""
        with contextlib.ExitStack() as stack:
            for relay in self.to_servers:
                stack.enter_context(relay.cut())
            yield

    @contextlib.contextmanager
    def silent_servers(self) -> Iterator[None]:
        """Nothing arrives from or at the NATS servers within the block, and nobody is told."""
        with contextlib.ExitStack() as stack:
            for relay in self.to_servers:
                stack.enter_context(relay.frozen())
            yield

    def flip(self, server: NatsServer, at: float) -> bool:
        """Flip a bit at this share of what a server that has ended has stored; False if there is nothing."""
        files = [(file, size) for file in server.blocks if (size := file.stat().st_size)]
        place = int(at * sum(size for _, size in files))
        for file, size in files:
            if place < size:
                with file.open("r+b") as opened:
                    opened.seek(place)
                    (byte,) = opened.read(1)
                    opened.seek(place)
                    opened.write(bytes([byte ^ 1]))
                return True
            place -= size
        return False

    def now(self) -> datetime:
        """By the clock that stamps the frames."""
        return datetime.now(timezone.utc)

    def streams(self, feed: str, since: datetime) -> bool:
        """Whether a tick has been stored that arrived since."""
        query = "SELECT EXISTS (SELECT FROM stocks_real_time WHERE feed = %s AND received_at > %s)"
        with contextlib.suppress(DatabaseUnavailableError, psycopg2.Error), self.database.transaction() as cursor:
            cursor.execute(query, (feed, since))
            (found,) = cursor.fetchone() or (False,)
            return bool(found)
        return False

    def all_stream(self, seconds: float = 120.0) -> float:
        """Wait until ticks of every feed are stored that arrive from now on; how long that took in seconds."""
        since, began = self.now(), time.monotonic()
        self._await_stored(since, seconds)
        return time.monotonic() - began

    def _await_stored(self, since: datetime, seconds: float) -> None:
        def say() -> str:
            return "\n".join(f"{machine.name}: {machine.tail()}" for machine in [self.owner, *self.away[-1:]])

        await_that(lambda: all(self.streams(feed, since) for feed in FEEDS), "all stream", seconds=seconds, say=say)

    def positions(self, journal_ids: Sequence[str]) -> dict[str, int]:
        """How far each of these journals is committed."""
        query = "SELECT journal_id::text, position FROM ticks_platform.feed_checkpoint WHERE journal_id::text = ANY(%s)"
        with self.database.transaction() as cursor:
            cursor.execute(query, (list(journal_ids),))
            return dict(cursor.fetchall())

    def elsewhere(self) -> list[heard_journals.Elsewhere]:
        """What the account says of journals of machines that do not own their feeds."""
        with self.database.transaction() as cursor:
            return [each for each in heard_journals.elsewhere(cursor) if not each.is_owned]

    def declare_lost(self, journal_id: str) -> None:
        """Tell the account that nobody will bring this journal any more."""
        with self.database.transaction() as cursor:
            heard_journals.declare_lost(cursor, journal_id, declared_by="campaign", reason="its machine was destroyed")
        self.declared.append(journal_id)

    def problems(self, *, of_all: bool = False) -> list[str]:
        """Events that are not stored once, nor within a known gap, and ledgers that do not balance.

        Looks at what was made since the last look, or since the beginning, up to what is stored of every feed.
        """
        until = self.now() - SETTLED
        self._await_stored(until + SETTLED, 120.0)
        begins = self.began if of_all else self.checked_until
        self.checked_until = until
        with self.database.transaction() as cursor:
            for feed in FEEDS:
                gaps.update(cursor, feed, now=self.now())
        found = unaccounted(self.stand_in, self.database, begins, until)
        with self.database.autocommit() as cursor:
            unbalanced = [problem for each in audit.accounts(cursor) for problem in each.problems()]
        return [*found, *unbalanced, *(story(self.database, begins) if found else ())]
