"""For all kinds of faults: a feed server, a market that goes on, two machines, and a watch on what they take."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import psycopg2
from typing_extensions import Self

from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform_tests.faults.processes import CampaignError, wait_until
from ticks_platform_tests.field.machine import KEY_VARIABLE, TAKEN_OVER, ClockFile, Order, main
from ticks_platform_tests.field.market import ASKED, PRICES, STOCKS, Key, Market, MarketFrame
from ticks_platform_tests.field.past import Past
from ticks_platform_tests.field.proofs import Proofs
from ticks_platform_tests.field.relay import Relay
from ticks_platform_tests.field.server import FeedServer, Sent
from ticks_platform_tests.support.children import Child

JOURNAL_MEGABYTES = 3
"""Limit of each journal: small, so that it is full soon."""

DISK_MEGABYTES = 24
"""The disk of a machine's journals."""

MEMORY_LIMIT = 400 << 20
"""Bytes that an ingesting process may have in memory."""

_AGAIN = 3.0
"""Seconds after which the last events of a market are sent again, if they are not stored."""

_PULSE = 0.04
"""Seconds between two events of a feed while nothing else is sent."""


def settings(server: FeedServer, feed: str) -> dict[str, object]:
    """A feed as in feeds.yaml."""
    return {
        "name": feed,
        "provider": "twelve_data" if feed == PRICES else "polygon",
        "endpoint": server.url(feed),
        "synthetic_endpoint": True,
        "api_key_env": KEY_VARIABLE,
        "symbols": list(ASKED[feed]),
        "calendar": "always",
        "hours": "always",
        "journal": {"max_megabytes": JOURNAL_MEGABYTES},
        **({"options": {"market": feed}} if feed != PRICES else {}),
        "repair": {"delay_seconds": 0, "requests_per_minute": 100_000, "requests_per_day": 1_000_000},
    }


class Disk:
    """A small disk, in a mount namespace of a process that only holds it."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True)
        mounted = f'mount -t tmpfs -o size={megabytes}m none "$1" && echo mounted && exec cat'
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mounted, "sh", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n", "no disk can be mounted in a namespace of its own"
        self.process = self._holder.pid
        self.path = Path(f"/proc/{self.process}/root{folder}")
        """Where this process finds it."""

    def remove(self) -> None:
        """Remove it with what is on it."""
        self._holder.kill()
        self._holder.wait()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Fill it within the block."""
        other = self.path / "of another program"
        with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            other.unlink()


class Machine:
    """A machine, which may be switched on and off. Its disk and its clock stay."""

    def __init__(self, name: str, folder: Path, rig: Rig) -> None:
        self.name = name
        self._rig = rig
        self._folder = folder / name
        self.disk = Disk(self._folder, DISK_MEGABYTES)
        self.clock = ClockFile(folder / f"{name}.clock")
        self._clock_file = folder / f"{name}.clock"
        self.relay = Relay(rig.database.url())
        self.relay.__enter__()
        self._runs = 0
        self.process: Child | None = None
        self.is_connected = True
        """Whether its feeds are expected to stream."""

    def start(self) -> None:
        """Switch it on."""
        assert self.process is None
        self._runs += 1
        self.process = Child(
            main,
            Order(
                owner=f"{self.name}{self._runs}",
                feeds=[settings(self._rig.server, feed) for feed in ASKED],
                database=self.relay.url,
                folder=str(self._folder),
                clock=str(self._clock_file),
                disk_of=self.disk.process,
                mutation=self._rig.mutation,
            ),
            log=self._rig.log,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process."""
        assert self.process is not None
        self.process.signal(number)

    def stop(self) -> None:
        """Stop it; it commits what it can."""
        self.signal(signal.SIGTERM)
        self.ends(0)

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def ends(self, code: int) -> None:
        """Wait until its process ends with this code."""
        process = self.process
        assert process is not None
        wait_until(f"the end of machine {self.name}", lambda: process.exit_code is not None)
        self.process = None
        if process.exit_code != code:
            raise CampaignError(f"machine {self.name} ended with {process.exit_code}, not with {code}")

    def is_replaced(self) -> None:
        """Wait until it ends because another machine has taken its feeds over."""
        self.ends(TAKEN_OVER)

    def remove(self) -> None:
        """Switch it off for good."""
        self.kill()
        self.relay.__exit__()
        self.disk.remove()


def _journal_files(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of journals in a folder, each with its inode and size in bytes."""
    found = {}
    with contextlib.suppress(OSError):
        for file in folder.glob("*.sqlite3*"):
            with contextlib.suppress(FileNotFoundError):
                status = file.stat()
                found[file.name] = (status.st_ino, status.st_size)
    return found


class Rig:
    """One feed server and two machines. A context manager, which ends every process on exit."""

    def __init__(self, *, folder: Path, database: Database, seed: int, mutation: str | None = None) -> None:
        """`mutation` is a defect that every machine has."""
        self.log = folder / "machines.log"
        self.database = database
        self.mutation = mutation
        self.rng = random.Random(seed)
        # A generator of its own, because the machine's speed decides how much is sent: a seed gives the same faults.
        self.market = Market(random.Random(f"{seed} market"))
        self.server = FeedServer(seed)
        self.past = Past(self.server)
        self.server.rest = self.past.answer
        self.proofs = Proofs(database, self.past, folder, lambda feed: settings(self.server, feed))
        self.problems: list[str] = []
        """What was seen on the way."""
        self.most_memory = 0
        self.largest_journal = 0
        self._too_large: set[str] = set()
        self._folder = folder
        self._recent: deque[MarketFrame] = deque(maxlen=20)
        self._ended = threading.Event()
        self._market_ended = threading.Event()

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.here, self.there = (Machine(name, self._folder, self) for name in ("here", "there"))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._go_on, self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._market_ended.set()
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for machine in (self.here, self.there):
            machine.remove()
        self.server.__exit__()

    def stream(self) -> None:
        """Wait until every feed streams to this machine; it is switched on if it is off."""
        if self.here.process is None:
            self.here.start()
        self.await_streaming(self.here)

    def await_streaming(self, machine: Machine, connections: int = 1, within: float | None = None) -> None:
        """Wait until each feed has so many connections that are subscribed."""

        def streams() -> bool:
            if machine.process is None or machine.process.exit_code is not None:
                raise CampaignError(
                    f"machine {machine.name} has ended, with {machine.process and machine.process.exit_code}"
                )
            return all(self.server.subscribed(feed) >= connections for feed in ASKED)

        wait_until(f"machine {machine.name} streams", streams, within)

    def everything_arrives(self) -> None:
        """Wait until what the market has now is loaded, or known to be lost with its connection."""
        since = time.time()
        sent: dict[str, list[Sent]] = {feed: [] for feed in ASKED}
        due_at = 0.0

        def is_loaded() -> bool:
            """Send again after a while: a connection may have been about to end, with what was sent to it."""
            nonlocal due_at
            waiting = [feed for feed, events in sent.items() if not any(map(self._is_stored, events))]
            if waiting and time.monotonic() >= due_at:
                due_at = time.monotonic() + _AGAIN
                for feed in waiting:
                    sent[feed].append(self.server.send_and_keep(*self.market.every_symbol(feed))[-1][1][-1])
            return not waiting

        wait_until("what has arrived is loaded", is_loaded)
        self.proofs.everything_arrived(since)

    def _is_stored(self, sent: Sent) -> bool:
        key = sent.event.key
        assert isinstance(key, Key)
        with contextlib.suppress(DatabaseUnavailableError, psycopg2.Error), self.database.autocommit() as cursor:
            cursor.execute(
                "SELECT FROM stocks_real_time WHERE feed = %s AND symbol = %s AND price = %s AND time > %s",
                (key.feed, key.symbol, key.price, datetime.fromtimestamp(sent.at - 60, timezone.utc)),
            )
            return cursor.fetchone() is not None
        return False

    def send(self, frames: int | None = None) -> None:
        """Send a burst: mostly ordinary frames, and oddities of all kinds."""
        count = self.rng.choice((5, 20, 20, 100)) if frames is None else frames
        for feed in ASKED:
            self.server.send(*self.market.every_symbol(feed))
            self.server.send(*(self.market.frame(feed) for _ in range(count)))
        self.server.send(*self.market.twice(), self.market.constant_ids(), self.market.control(STOCKS))
        if self.rng.random() < 0.3:
            self.server.send(*(frame for feed in (STOCKS, PRICES) for frame in self.market.odd(feed)))

    def end_market(self) -> None:
        """The market sends nothing more."""
        self._market_ended.set()
        self._threads[0].join()

    def pause(self, at_most: float) -> None:
        """Sleep for a random time that the seed decides; deliberately not until a condition holds."""
        time.sleep(self.rng.uniform(0.0, at_most))

    def log_tail(self) -> str:
        """The last lines of all machines."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:]) if self.log.exists() else ""

    def _go_on(self) -> None:
        """The market goes on, whatever happens."""
        market = Market(random.Random(0), begin=1 << 30)
        while not self._market_ended.wait(_PULSE):
            for feed in ASKED:
                self.server.send(market.frame(feed))

    def _watch(self) -> None:
        """Watch what the machines take, in memory and on their disks."""
        while not self._ended.wait(0.1):
            for machine in (self.here, self.there):
                self._look_at(machine)

    def _look_at(self, machine: Machine) -> None:
        process = machine.process
        with contextlib.suppress(OSError, IndexError):  # it has ended
            if process is not None:
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = int(status.split("VmHWM:")[1].split()[0]) << 10
                self.most_memory = max(self.most_memory, peak)
                if peak > MEMORY_LIMIT:
                    self._note(f"machine {machine.name} takes more than {MEMORY_LIMIT >> 20} MB of memory")
        before, after = _journal_files(machine.disk.path), _journal_files(machine.disk.path)
        if [(name, inode) for name, (inode, _) in before.items()] != [
            (name, inode) for name, (inode, _) in after.items()
        ]:
            return  # a file was replaced meanwhile: the old one and the new one are not there together
        journals: dict[str, dict[str, int]] = {}
        for name, (_, size) in before.items():
            journals.setdefault(name.partition(".sqlite3")[0], {})[name] = size
        for name, sizes in journals.items():
            taken = sum(sizes.values())
            self.largest_journal = max(self.largest_journal, taken)
            if taken > JOURNAL_MEGABYTES << 20 and name not in self._too_large:
                self._too_large.add(name)
                self._note(f"journal {name} of machine {machine.name} takes more than {JOURNAL_MEGABYTES} MB: {sizes}")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
