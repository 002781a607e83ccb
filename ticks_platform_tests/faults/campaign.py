"""The faults, one after the other, and what is needed to make them: processes to kill, a provider, a database."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import psycopg2

from ticks_platform.ingestion import audit
from ticks_platform.ingestion import journal as journals
from ticks_platform.ingestion.journal import JournalError
from ticks_platform.ingestion.lease import application_name
from ticks_platform.paths import project_root
from ticks_platform.standin import ConnectionAccount, RawFrame, StandIn, StandInError, StandInSettings
from ticks_platform.timescale import embedded
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform_tests.faults import accounting
from ticks_platform_tests.faults.events import Tape
from ticks_platform_tests.faults.ingester import DEATHS, FEED, TAKEN_OVER, Order, markers

BUDGET_MEGABYTES = 2
"""What may wait in the journal: little, so that a database that is away fills it soon."""

PATIENCE = 60.0
"""Seconds after which something that has to happen is taken for never happening."""

TAKEOVER = 8.0
"""Seconds after which a frozen owner is let go before it was replaced; to evict it takes five."""

_LOOK = 0.01


class CampaignError(AssertionError):
    """Something did not happen that has to: a process did not end, or not as it should, or did not begin to stream."""


class Ingester:
    """A child process; it waits with all its modules loaded until it gets its order."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticks_platform_tests.faults.ingester"],
                cwd=project_root(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        self.run = 0

    def order(self, order: Order) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self.run = order.run
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    @property
    def exit_code(self) -> int | None:
        """None while it is alive."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, frozen or not, if it is alive."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


class EmbeddedServer:
    """An embedded database that may be killed and frozen."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.url = embedded.ensure_running(data_dir)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        pid = self._pid()
        os.kill(pid, signal.SIGKILL)
        _await("the end of the database", lambda: not _alive(pid))

    def start(self) -> None:
        """Start it again."""
        assert embedded.ensure_running(self._data_dir) == self.url

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It does not run within the block."""
        pid = self._pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it for good."""
        embedded.stop(self._data_dir)

    def _pid(self) -> int:
        pid = embedded.status(self._data_dir).pid
        assert pid is not None
        return pid


class Campaign:
    """A number of faults on one feed with one journal. Use as a context manager: leaving it ends every process.

    One stand-in sends, one ingester at a time is meant to ingest; after each fault there is one that streams, but
    nothing waits until the trouble is over: faults meet the traces of those before.
    """

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        server: EmbeddedServer | None,
        seed: int,
        mutation: str | None = None,
    ) -> None:
        """`server` is the database's server, if it may be killed. `mutation` is a defect that every ingester has."""
        self.faults: Counter[str] = Counter()
        self.held_up = 0
        """Takeovers that had to wait until the frozen owner went on."""
        self.log = folder / "ingesters.log"
        self._journal = folder / "journal.sqlite3"
        self._side_file = folder / "notes.jsonl"
        self._database = database
        self._server = server
        self._mutation = mutation
        self._rng = random.Random(seed)
        # Of its own, since it depends on the machine's speed how much is sent: the same seed gives the same faults.
        self._tape = Tape(random.Random(f"{seed} events"))
        self._stand_in = StandIn(
            StandInSettings(rate=0, record=True, accept_any_symbol=True, max_connections=8, idle_timeout_s=3_600)
        )
        self._sent: dict[int, ConnectionAccount] = {}
        self._runs = 0
        self._broken_off: set[int] = set()
        self._current: Ingester | None = None
        self._all: list[Ingester] = []
        self._spare: Ingester | None = None
        self.kinds: dict[str, Callable[[], None]] = {
            **{f"killed {place}": partial(self._die, place) for place in DEATHS},
            "killed at any time": self._killed_at_any_time,
            "table locked": self._table_locked,
            "journal full": self._journal_full,
            "frozen and taken over": self._frozen_and_taken_over,
            "frozen at an exact place and taken over": self._frozen_at_a_place_and_taken_over,
            "two owners at once": self._two_owners_at_once,
            "provider drops": self._provider_drops,
            "provider closes": self._provider_closes,
            "provider away": self._provider_away,
            "stopped and restarted": self._stopped_and_restarted,
        }
        if server is None:
            self.kinds["connection to the database ended"] = self._backend_terminated
        else:
            self.kinds["database killed"] = self._database_killed
            self.kinds["database frozen"] = self._database_frozen

    def __enter__(self) -> Campaign:
        self._stand_in.__enter__()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for ingester in self._all:
            ingester.end()
        self._stand_in.__exit__(None, None, None)

    def run(self, faults: int) -> None:
        """So many faults, each kind as often as the others. Raises CampaignError."""
        for number in range(faults):
            if number % len(self.kinds) == 0:
                bag = self._rng.sample(sorted(self.kinds), len(self.kinds))
            self.make(bag.pop())

    def make(self, kind: str) -> None:
        """One fault of this kind, with events before and after it."""
        try:
            self._stream()
            self._send()
            self.kinds[kind]()
        except (CampaignError, StandInError) as error:
            raise CampaignError(f"{kind}, after {dict(self.faults)}: {error}\n{self._last_words()}") from error
        self.faults[kind] += 1
        self._remember_sent()

    def count(self) -> accounting.Count:
        """Let everything come in, end the ingestion, and count."""
        try:
            ingester = self._stream()
            self._send()
            _await("the journal is loaded", lambda: self._loaded() or ingester.exit_code is not None)
            self._stop(ingester)
        except CampaignError as error:
            raise CampaignError(f"at the end: {error}\n{self._last_words()}") from error
        self._remember_sent()
        with self._database.autocommit() as cursor:
            return accounting.count(
                cursor,
                tape=self._tape,
                sent=self._sent.values(),
                side_file=self._side_file,
                journal=self._journal,
                broken_off=self._broken_off,
            )

    # What the faults are made of.

    def _begin(self, *, die: str | None = None, times: int = 1, freeze: Path | None = None) -> Ingester:
        ingester, self._spare = self._spare or self._child(), None
        self._runs += 1
        ingester.order(
            Order(
                run=self._runs,
                url=self._stand_in.url("twelve_data", key=None),
                database=self._database.url(),
                journal=str(self._journal),
                side_file=str(self._side_file),
                max_megabytes=BUDGET_MEGABYTES,
                die=die,
                times=times,
                freeze=str(freeze) if freeze else None,
                mutation=self._mutation,
            )
        )
        self._spare = self._child()  # it loads its modules while this one works
        return ingester

    def _child(self) -> Ingester:
        ingester = Ingester(self.log)
        self._all.append(ingester)
        return ingester

    def _stream(self) -> Ingester:
        """The ingester that streams; a new one, if there is none."""
        if self._current is None:
            self._current = self._begin()
        self._await_subscribed(self._current)
        return self._current

    def _await_subscribed(self, ingester: Ingester, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not self._subscribed(ingester):
            if ingester.exit_code is not None:
                raise CampaignError(f"run {ingester.run} ended with {ingester.exit_code}")
            if time.monotonic() > deadline:
                raise CampaignError(f"run {ingester.run} does not stream within {seconds:g} s")

    def _subscribed(self, ingester: Ingester) -> bool:
        with contextlib.suppress(StandInError):
            self._stand_in.wait_until_subscribed(markers(ingester.run, 0)[0], timeout_s=0.1)
            return True
        return False

    def _send(self, frames: list[RawFrame] | None = None) -> None:
        """Send a burst to whoever is connected; large ones are worth direct compression."""
        size = self._rng.choices([self._rng.randint(1, 30), self._rng.randint(100, 600), 12_000], [60, 38, 2])[0]
        self._stand_in.inject(*(frames or self._tape.burst(size)))

    def _remember_sent(self) -> None:
        # The stand-in forgets connections that ended long ago.
        self._sent |= {connection.number: connection for connection in self._stand_in.account().connections}

    def _await_end(self, ingester: Ingester, *, while_sending: bool = False) -> int:
        def ended() -> bool:
            if while_sending:
                self._stand_in.inject(*self._tape.burst(5))
            return ingester.exit_code is not None

        _await(f"the end of run {ingester.run}", ended)
        assert ingester.exit_code is not None
        if ingester is self._current:
            self._current = None
        return ingester.exit_code

    def _killed(self, ingester: Ingester, code: int) -> None:
        if code != -signal.SIGKILL:
            raise CampaignError(f"run {ingester.run} ended with {code} before it was killed")
        self._broken_off.add(ingester.run)

    def _replaced(self, ingester: Ingester) -> None:
        """It has to see that it is not the owner any more."""
        code = self._await_end(ingester, while_sending=True)
        if code != TAKEN_OVER:
            raise CampaignError(f"run {ingester.run} was taken over, but ended with {code}")
        self._broken_off.add(ingester.run)

    def _stop(self, ingester: Ingester) -> None:
        ingester.signal(signal.SIGTERM)
        code = self._await_end(ingester)
        if code != 0:
            raise CampaignError(f"run {ingester.run} was told to stop and ended with {code}")

    def _loaded(self) -> bool:
        with contextlib.suppress(DatabaseUnavailableError, psycopg2.Error, JournalError):
            with self._database.autocommit() as cursor:
                account = audit.journal_account(cursor, FEED, self._journal)
            return account is not None and account.waiting == 0
        return False

    def _last_words(self) -> str:
        # Without the notices that the events themselves bring about.
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if "slow down" not in line]
        return "\n".join(lines[-40:])

    def _pause(self, at_most: float) -> None:
        """Let things happen for a while, how long is part of the seed: the point is not to wait for anything."""
        time.sleep(self._rng.uniform(0.0, at_most))

    # The faults.

    def _die(self, place: str) -> None:
        """`kill -9` at an exact place."""
        self._stop(self._stream())
        times = self._rng.randint(1, 3)
        ingester = self._begin(die=place, times=times)
        self._killed(ingester, self._await_end(ingester, while_sending=True))

    def _killed_at_any_time(self) -> None:
        ingester = self._stream()
        self._send()
        self._pause(0.3)
        ingester.signal(signal.SIGKILL)
        self._killed(ingester, self._await_end(ingester))

    def _table_locked(self) -> None:
        with self._database.transaction() as cursor:
            cursor.execute("LOCK TABLE stocks_real_time IN ACCESS EXCLUSIVE MODE")
            self._send()
            self._pause(1.0)

    def _journal_full(self) -> None:
        """The table is away until the journal has reached its budget; sometimes somebody pulls the plug meanwhile."""
        with self._database.transaction() as cursor:
            cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
        try:
            self._stand_in.inject(*self._tape.heavy(2 * BUDGET_MEGABYTES))
            _await("the journal is full", self._full)
            if self._rng.random() < 0.5:
                ingester = self._stream()
                ingester.signal(signal.SIGKILL)
                self._killed(ingester, self._await_end(ingester))
        finally:
            with self._database.transaction() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")

    def _full(self) -> bool:
        with journals.snapshot(self._journal) as snapshot:
            return snapshot.beyond(0).bytes >= BUDGET_MEGABYTES << 20

    def _frozen_and_taken_over(self) -> None:
        old = self._stream()
        self._send()
        self._pause(0.2)
        old.signal(signal.SIGSTOP)
        self._take_over(old)

    def _frozen_at_a_place_and_taken_over(self) -> None:
        """Frozen with a transaction open, or with a commit that it has not heard of."""
        self._stop(self._stream())
        frozen = self._journal.with_suffix(".frozen")
        place = self._rng.choice(sorted(DEATHS))
        self._current = old = self._begin(die=place, times=self._rng.randint(1, 3), freeze=frozen)

        def stopped() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            return frozen.exists()

        _await(f"run {old.run} freezes {place}", stopped)
        frozen.unlink()
        self._take_over(old)

    def _take_over(self, old: Ingester) -> None:
        try:
            self._current = self._begin()
            # Frozen within a transaction, the old one is evicted, which takes a while. Only in the middle of a COPY or
            # of a write to the journal it may have to be let go first.
            try:
                self._await_subscribed(self._current, seconds=TAKEOVER)
            except CampaignError:
                self.held_up += 1
            self._send()
        finally:
            old.signal(signal.SIGCONT)
        self._replaced(old)

    def _two_owners_at_once(self) -> None:
        """One of them takes over, or, when each was first in something, none: never two."""
        self._stop(self._stream())
        both = [self._begin(), self._begin()]

        def settled() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            alive = [ingester for ingester in both if ingester.exit_code is None]
            return not alive or (len(alive) == 1 and self._subscribed(alive[0]))

        _await("one owner", settled)
        for ingester in both:
            if ingester.exit_code is None:
                self._current = ingester
            else:
                self._replaced(ingester)

    def _provider_drops(self) -> None:
        self._send()
        self._pause(0.05)
        self._stand_in.drop_connections()

    def _provider_closes(self) -> None:
        # So much that the close frame reaches a client that has not read it all.
        self._send(self._tape.burst(1_000))
        self._stand_in.close_connections(self._rng.choice([1000, 1001, 1008, 1011, 1012, 1013, 4000]))

    def _provider_away(self) -> None:
        self._stand_in.pause_accepting()
        try:
            self._stand_in.drop_connections()
            self._pause(0.5)
        finally:
            self._stand_in.resume_accepting()

    def _stopped_and_restarted(self) -> None:
        ingester = self._stream()
        self._send()
        self._stop(ingester)

    def _backend_terminated(self) -> None:
        self._send()
        self._pause(0.1)
        with self._database.transaction() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = %s",
                (application_name(FEED),),
            )

    def _database_killed(self) -> None:
        assert self._server is not None
        self._send()
        self._pause(0.15)
        self._server.kill()
        self._send()
        self._server.start()

    def _database_frozen(self) -> None:
        assert self._server is not None
        self._send()
        self._pause(0.1)
        with self._server.frozen():
            self._send()
            self._pause(2.0)


def table(campaign: Campaign, count: accounting.Count, *, seed: int, seconds: float) -> str:
    """What was done and what came of it, for people."""
    lines = [f"seed {seed}: {campaign.faults.total()} faults in {seconds:.0f} s"]
    lines += [f"  {times:5} x {kind}" for kind, times in sorted(campaign.faults.items())]
    counts = count._replace(problems=[])._asdict()
    lines += [f"  {number:9,} {name}" for name, number in counts.items() if name != "problems"]
    lines += [f"  {campaign.held_up:9,} takeovers that had to wait for the frozen owner"]
    lines += [f"  lost on the way to the journal, with their connection: {count.sent - count.journalled:,} frames"]
    lines += ["PROBLEMS:", *count.problems] if count.problems else ["every event once, and the ledger says the same"]
    return "\n".join(lines)


def _await(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise CampaignError(f"not within {PATIENCE:g} s: {what}")
        time.sleep(_LOOK)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
