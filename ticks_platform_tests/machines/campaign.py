"""The faults, and the count after each."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2
import requests

from ticks_platform.timescale.database import DatabaseUnavailableError
from ticks_platform_tests.machines.rig import FEEDS, Rig, frozen
from ticks_platform_tests.support.dagster_dev import eventually

BACK_WITHIN = 60.0
"""Seconds in which a feed streams again: from the loss of its machine or run, or from the return of what it needs."""

PATIENCE = 3 * BACK_WITHIN
"""A longer time is a failure by itself, whatever the load."""


class Campaign:
    """Faults of each kind, of both machines in turn."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._rng = random.Random(seed)
        self.kinds: dict[str, Callable[[], float]] = {
            "run killed": self._kill_run,
            "run frozen, and back": self._freeze_run,
            "run frozen until it is replaced": self._freeze_run_for_long,
            "cable pulled for seconds": self._pull,
            "cable pulled until the feed has moved": self._pull_for_long,
            "machine asleep": self._sleep,
            "machine loses its power": self._lose_power,
            "Redis restarted": self._restart_redis,
            "storage away": self._storage_away,
            "database away": self._database_away,
            "handed over": self._hand_over,
            "worker killed": self._kill_worker,
        }
        self.faults: Counter[str] = Counter()
        self.back: dict[str, list[float]] = {}
        self.slow: list[str] = []

    def run(self, faults: int) -> list[str]:
        """Make so many faults, each kind equally often. Returns the first problems that a count finds."""
        self._rig.all_stream(PATIENCE, "all feeds stream")
        for number in range(faults):
            if number % len(self.kinds) == 0:
                bag = self._rng.sample(sorted(self.kinds), len(self.kinds))
            kind = bag.pop()
            seconds = self.kinds[kind]()
            self.faults[kind] += 1
            self.back.setdefault(kind, []).append(seconds)
            if seconds > BACK_WITHIN:
                self.slow.append(f"{kind}: {seconds:.0f} s, load {os.getloadavg()[0]:.0f}")
            problems = self._rig.problems()
            print(f"{number + 1:4} {kind}: back after {seconds:.1f} s; {len(problems)} problems", flush=True)
            if problems:
                return [f"after {kind}, fault {number + 1}: {len(problems)} problems", *problems[:90]]
        return []

    def table(self) -> str:
        """A report: how often, and how long until all streamed again, at most."""
        return "\n".join(
            f"{times:5} x {kind} (back after {max(self.back[kind]):.1f} s at most)"
            for kind, times in sorted(self.faults.items())
        )

    def _owner(self) -> tuple[str, str, int]:
        """A feed, the machine that it streams from, and its process."""
        feed = self._rng.choice(sorted(FEEDS))
        machine, process = eventually(f"{feed} has an owner", PATIENCE, lambda: self._rig.process_of(feed))
        return feed, machine, process

    def _back(self, what: str) -> float:
        return self._rig.all_stream(PATIENCE, f"all feeds stream after: {what}")

    def _kill_run(self) -> float:
        _, _, process = self._owner()
        os.kill(process, signal.SIGKILL)
        return self._back("run killed")

    def _kill_worker(self) -> float:
        """Its runs die with it, and worker.sh starts another."""
        _, name, _ = self._owner()
        machine = self._rig.machines[name]
        worker = machine.worker()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        eventually(f"machine {name} has another worker", PATIENCE, lambda: machine.worker() not in (None, worker))
        return self._back("worker killed")

    def _freeze_run(self) -> float:
        _, _, process = self._owner()
        with frozen(process):
            time.sleep(self._rng.uniform(2, 12))
        return self._back("run frozen")

    def _hand_over(self) -> float:
        """Both may receive: nothing is missed."""
        feed, _, process = self._owner()
        began = self._rig.platform.now()
        eventually("hand_over is launched", PATIENCE, functools.partial(self._launches, "hand_over", feed))
        seconds = self._until_moved(feed, process)
        found = self._rig.gaps(feed, since=began)
        assert not found, f"gaps of {feed} by a planned hand-over: {found}"
        return seconds

    def _launches(self, job: str, feed: str) -> bool:
        # The webserver has connections to a storage that was away.
        with contextlib.suppress(requests.RequestException):
            return bool(self._rig.platform.launch(job, feed))
        return False

    def _until_moved(self, feed: str, process: int) -> float:
        """Seconds until another process streams the feed."""
        began, since = time.monotonic(), self._rig.platform.now()

        def moved() -> Any:
            owner = self._rig.process_of(feed)
            return owner is not None and owner[1] != process and self._rig.streams(feed, since)

        eventually(f"{feed} streams from another process", PATIENCE, moved)
        return time.monotonic() - began

    def _freeze_run_for_long(self) -> float:
        feed, _, process = self._owner()
        with frozen(process):
            return self._until_moved(feed, process)

    def _pull(self) -> float:
        _, machine, _ = self._owner()
        with self._rig.networks[machine].cut():
            time.sleep(self._rng.uniform(2, 15))
        return self._back("cable pulled")

    def _pull_for_long(self) -> float:
        feed, machine, process = self._owner()
        with self._rig.networks[machine].cut():
            return self._until_moved(feed, process)

    def _sleep(self) -> float:
        feed, machine, process = self._owner()
        with frozen(-self._rig.machines[machine].process.pid):
            return self._until_moved(feed, process)

    def _lose_power(self) -> float:
        feed, machine, process = self._owner()
        self._rig.machines[machine].lose_power()
        back = threading.Timer(self._rng.uniform(5, 40), self._rig.start, (machine,))
        back.start()
        try:
            return self._until_moved(feed, process)
        finally:
            back.join()

    def _restart_redis(self) -> float:
        self._rig.broker.kill()
        time.sleep(self._rng.uniform(0, 5))
        self._rig.broker.start()
        return self._back("Redis restarted")

    def _storage_away(self) -> float:
        with self._rig.storage.cut():
            time.sleep(self._rng.uniform(2, 15))
        return self._back("storage away")

    def _database_away(self) -> float:
        with self._rig.database.cut():
            time.sleep(self._rng.uniform(2, 20))
        began = time.monotonic()
        eventually("the database answers", 30, self._answers)
        return time.monotonic() - began + self._back("database away")

    def _answers(self) -> bool:
        with contextlib.suppress(DatabaseUnavailableError, psycopg2.Error):
            return bool(self._rig.platform.one("SELECT true"))
        return False
