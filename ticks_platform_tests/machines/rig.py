"""The servers, the two machines, and what the market made compared with what is stored."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import requests
import sqlalchemy
import yaml

from ticks_platform.ingestion import audit
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.gaps import gaps
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.machines.network import Network
from ticks_platform_tests.support import celery
from ticks_platform_tests.support.dagster_dev import Platform, eventually, running_platform
from ticks_platform_tests.support.made_and_stored import story, unaccounted
from ticks_standin import StandIn, StandInSettings

QUEUE = "feeds"
KEY = "TICKS_TEST_MACHINES_KEY"
FEEDS = {"with_ids": ("AAPL", "MSFT"), "without_ids": ("BTC/USD", "ETH/USD")}
RATE = 400.0
"""Ticks a second, of all symbols together."""

SETTLED = timedelta(seconds=1)
"""Of this age, an event has arrived if it will."""


class Rig:
    """What the campaign breaks and looks at. A context manager."""

    def __init__(self, folder: Path, repository_root: Path, database_url: str) -> None:
        self.folder = folder
        self._root = repository_root
        self._database_url = database_url
        self._deploy = repository_root / "deploy" / "celery"
        self._stack = contextlib.ExitStack()
        self.machines: dict[str, celery.Machine] = {}
        self.networks: dict[str, Network] = {}
        self._processes: dict[str, int] = {}
        self.checked_until = datetime.now(timezone.utc)

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._stack.close()

    def _open(self, stack: contextlib.ExitStack) -> None:
        programs = celery.Programs.find()
        project = self.folder / "project"
        project.mkdir()
        (project / "dagster.yaml").write_bytes((self._deploy / "dagster.yaml").read_bytes())
        market = StandInSettings(rate=RATE, history_events=3_000_000, polygon_tape="plain", max_connections=10)
        self.stand_in = stack.enter_context(StandIn(market))
        (project / "feeds.yaml").write_text(yaml.safe_dump({"feeds": self._feeds()}), encoding="utf-8")
        self.broker = stack.enter_context(celery.redis(programs, self._deploy / "redis.conf"))
        storage = stack.enter_context(celery.postgresql(programs))
        self.storage = stack.enter_context(Relay(f"postgresql://127.0.0.1:{storage}/dagster"))
        self.database = stack.enter_context(Relay(self._database_url))
        url = sqlalchemy.make_url(self.database.url)
        storage_port = sqlalchemy.make_url(self.storage.url).port
        self._environment = {
            "DAGSTER_STORAGE_HOST": "127.0.0.1",
            "DAGSTER_STORAGE_PORT": str(storage_port),
            "DAGSTER_STORAGE_USER": "dagster",
            "DAGSTER_STORAGE_PASSWORD": "of-nobody",
            "DAGSTER_STORAGE_DATABASE": "dagster",
            "TICKS_CELERY_BROKER": self.broker.url(0),
            "TICKS_CELERY_BACKEND": self.broker.url(1),
            KEY: "demo",
        }
        redis_port = sqlalchemy.make_url(self.broker.url(0)).port
        feed_port = sqlalchemy.make_url(self.stand_in.url("polygon", key=None)).port
        assert storage_port and redis_port and feed_port and url.port  # noqa: PT018
        ports = (storage_port, redis_port, feed_port, url.port)
        for number, name in enumerate(("first", "second"), start=1):
            self.networks[name] = stack.enter_context(Network(f"ticks_{name}", number, ports))
        self.platform: Platform = stack.enter_context(
            running_platform(project, self._root, self.database.url, environment=self._environment)
        )
        stack.callback(self._end_machines)
        self.start("other", queue="dagster", runs=2)
        for name in self.networks:
            self.start(name)
        brought_up = "SELECT to_regclass('ticks_platform.feed_lease') IS NOT NULL"
        eventually("the database is brought up", 300, lambda: self.platform.one(brought_up))

    def _end_machines(self) -> None:
        for machine in self.machines.values():
            machine.lose_power()

    def _feeds(self) -> dict[str, Any]:
        common = {
            "synthetic_endpoint": True,
            "api_key_env": KEY,
            "calendar": "always",
            "hours": "always",
            "repair": {"enabled": False},
            "overlap": True,
            "run_tags": {"dagster-celery/queue": QUEUE},
        }
        polygon: dict[str, Any] = {
            "provider": "polygon",
            "endpoint": self.stand_in.url("polygon", key=None),
            "true_up": "off",
        }
        polygon["options"] = {"market": "stocks", "channels": ["T"]}
        twelve_data = {"provider": "twelve_data", "endpoint": self.stand_in.url("twelve_data", key=None)}
        return {
            "with_ids": {**common, **polygon, "symbols": list(FEEDS["with_ids"])},
            "without_ids": {**common, **twelve_data, "symbols": list(FEEDS["without_ids"])},
        }

    def start(self, name: str, *, queue: str = QUEUE, runs: int = 3) -> None:
        """Start a machine, with the disk that it had."""
        network = self.networks.get(name)
        self.machines[name] = celery.Machine(
            self._deploy,
            self.folder / name,
            self.platform.environment,
            queue=queue,
            runs=runs,
            name=name,
            prefix=network.prefix if network else (),
        )

    def process_of(self, feed: str) -> tuple[str, int] | None:
        """The machine that executes the owner of a feed's lease, and the process; None while nobody does."""
        # The webserver answers with an error where its storage was away.
        with contextlib.suppress(requests.RequestException):
            return self._process_of(feed)
        return None

    def _process_of(self, feed: str) -> tuple[str, int] | None:
        with self.platform.database.transaction() as cursor:
            lease = leases.status(cursor, feed)
        if lease is None or not lease.is_alive or self.platform.status(lease.owner) != "STARTED":
            return None
        process = self._processes.get(lease.owner)
        if process is None:
            process = self._processes[lease.owner] = self.platform.process_of(lease.owner)
        found = next((name for name, machine in self.machines.items() if machine.executes(process)), None)
        return None if found is None else (found, process)

    def streams(self, feed: str, since: Any) -> bool:
        """Whether a tick has been stored that arrived since."""
        query = "SELECT EXISTS (SELECT FROM stocks_real_time WHERE feed = %s AND received_at > %s)"
        return bool(self.platform.one(query, feed, since))

    def all_stream(self, seconds: float, what: str) -> float:
        """Wait until ticks of every feed are stored that arrive from now on; how long that took in seconds."""
        since, began = self.platform.now(), time.monotonic()
        for feed in FEEDS:
            left = seconds - (time.monotonic() - began)
            eventually(f"{what}, {feed} too", left, functools.partial(self.streams, feed, since))
        return time.monotonic() - began

    def gaps(self, feed: str, *, since: datetime) -> list[tuple[str, datetime, str]]:
        """Symbol, begin and cause of each gap of a feed, as known by now, that had not ended then."""
        self._update_gaps(feed)
        with self.platform.database.transaction() as cursor:
            cursor.execute(
                "SELECT symbol, begins_at, cause FROM ticks_platform.feed_gap "
                "WHERE feed = %s AND coalesce(ends_at, 'infinity') > %s ORDER BY begins_at",
                (feed, since),
            )
            return list(cursor.fetchall())

    def _update_gaps(self, feed: str) -> None:
        with self.platform.database.transaction() as cursor:
            gaps.update(cursor, feed, now=datetime.now(timezone.utc))

    def problems(self) -> list[str]:
        """Events that are not stored once, nor within a known gap, and ledgers that do not balance.

        Looks at what was made since the last look, up to what is stored of every feed.
        """
        until = datetime.now(timezone.utc) - SETTLED
        for feed in FEEDS:
            eventually(f"{feed} has stored what was made", 90, functools.partial(self.streams, feed, until + SETTLED))
        begins, self.checked_until = self.checked_until, until
        for feed in FEEDS:
            self._update_gaps(feed)
        database = self.platform.database
        found = unaccounted(self.stand_in, database, begins, until)
        return [*found, *self._unbalanced(), *(story(database, begins) if found else ())]

    def _unbalanced(self) -> list[str]:
        with self.platform.database.autocommit() as cursor:
            return [problem for each in audit.accounts(cursor) for problem in each.problems()]


@contextlib.contextmanager
def frozen(*processes: int) -> Iterator[None]:
    """These processes, or groups if negative, stand still within the block."""

    def tell(number: int) -> None:
        for each in processes:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if each < 0 else os.kill)(abs(each), number)

    tell(signal.SIGSTOP)
    try:
        yield
    finally:
        tell(signal.SIGCONT)
