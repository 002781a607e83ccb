"""The faults, and the comparison at the end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ticks_platform.ingestion.lease import application_name
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults import accounting
from ticks_platform_tests.faults.ingester import DEATHS, FEED, FULL
from ticks_platform_tests.faults.processes import CampaignError, EmbeddedServer, Ingester, wait_until
from ticks_platform_tests.faults.rig import BUDGET_MEGABYTES, Rig, Written
from ticks_standin import StandInError

TAKEOVER = 8.0
"""Seconds after which a frozen owner is resumed although it was not replaced; terminating its connection takes five."""

PROVEN_EACH = 4
"""Faults after which candles are proven, in the middle of what the fault has left."""

TAKEOVER_EMBEDDED = 2.0
"""The same on the embedded database, whose only session is blocked by an owner that is frozen in a transaction."""


class Campaign(Rig):
    """A number of faults on one feed. A context manager, which ends every process on exit.

    One ingester at a time should ingest. After each fault, an ingester streams, but nothing waits for a full recovery:
    faults meet the consequences of earlier ones.
    """

    def __init__(
        self,
        *,
        folder: Path,
        database: Database,
        server: EmbeddedServer | None,
        evicts: bool,
        seed: int,
        mutation: str | None = None,
    ) -> None:
        """`server` is the database's server, if it may be killed. `evicts` tells whether the database can terminate a
        frozen owner's transaction. `mutation` is a defect that every ingester has.
        """
        super().__init__(folder=folder, database=database, seed=seed, mutation=mutation)
        self.faults: Counter[str] = Counter()
        self.held_up = 0
        """Takeovers that succeeded only after the frozen owner was resumed."""
        self.kept_waiting = 0
        """Frames that waited in the journal of an owner that another machine had replaced."""
        self._server = server
        self._takeover = TAKEOVER if evicts else TAKEOVER_EMBEDDED
        self.kinds: dict[str, Callable[[], None]] = {
            **{f"killed {place}": partial(self._die, place) for place in DEATHS},
            "killed at any time": self._killed_at_any_time,
            "table locked": self._table_locked,
            "journal full": self._journal_full,
            "frozen and taken over": self._frozen_and_taken_over,
            "frozen at an exact place and taken over": self._frozen_at_a_place_and_taken_over,
            "frozen before the journal and taken over": self._frozen_before_the_journal_and_taken_over,
            "frozen and taken over by another machine": self._frozen_and_taken_over_elsewhere,
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

    def run(self, faults: int) -> None:
        """Make so many faults, each kind equally often. Raises CampaignError."""
        for number in range(faults):
            if number % len(self.kinds) == 0:
                bag = self._rng.sample(sorted(self.kinds), len(self.kinds))
            self.make(bag.pop())
            if number % PROVEN_EACH == 0:
                self.proofs.prove()

    def make(self, kind: str) -> None:
        """Make one fault of this kind, with events before and after it. Raises CampaignError."""
        try:
            self._stream()
            self._send()
            self.kinds[kind]()
        except (CampaignError, StandInError) as error:
            raise CampaignError(f"{kind}, after {dict(self.faults)}: {error}\n{self._log_tail()}") from error
        self.faults[kind] += 1
        self._remember_sent()

    def count(self) -> accounting.Count:
        """Load everything, stop the ingestion, and compare."""
        try:
            if self._elsewhere.exists():
                self._stop(self._stream())
                self._drain(self._elsewhere)
            self._drain(self._journal)
        except CampaignError as error:
            raise CampaignError(f"at the end: {error}\n{self._log_tail()}") from error
        self._remember_sent()
        self.proofs.prove()
        problems = self.proofs.problems(self._tape)
        with self._database.autocommit() as cursor:
            count = accounting.count(
                cursor,
                tape=self._tape,
                sent=self._sent.values(),
                side_file=self._side_file,
                journals=[file for file in (self._journal, self._elsewhere) if file.exists()],
                unclean_runs=self._unclean_runs,
            )
        return count._replace(problems=[*count.problems, *problems])

    # The faults.

    def _die(self, place: str) -> None:
        """SIGKILL at an exact place."""
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
        """The table is missing until the journal is full; in half of the cases, the ingester is killed meanwhile."""
        with self._database.transaction() as cursor:
            cursor.execute("ALTER TABLE stocks_real_time RENAME TO away")
        try:
            said = self.log.stat().st_size
            self._stand_in.inject(*self._tape.heavy(2 * BUDGET_MEGABYTES))
            # The journal is full when the next group has no room, which may be one of half its size.
            wait_until("the journal is full", lambda: FULL.encode() in self.log.read_bytes()[said:])
            if self._rng.random() < 0.5:
                ingester = self._stream()
                ingester.signal(signal.SIGKILL)
                self._killed(ingester, self._await_end(ingester))
        finally:
            with self._database.transaction() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")

    def _frozen_and_taken_over(self) -> None:
        old = self._stream()
        self._send()
        self._pause(0.2)
        old.signal(signal.SIGSTOP)
        self._take_over(old)

    def _frozen_before_the_journal_and_taken_over(self) -> None:
        """Send nothing to the successor until the old owner has tried to append to the journal that it lost."""
        held_up = -1
        # An owner that was frozen in a transaction may have to be resumed before it is replaced: then try another one.
        while held_up < self.held_up:
            held_up = self.held_up
            self._take_over(self._freeze("before the journal"), while_sending=False)

    def _frozen_at_a_place_and_taken_over(self) -> None:
        """Frozen in a transaction, or before it reads the answer to a commit."""
        self._take_over(self._freeze(self._rng.choice(sorted(DEATHS))))

    def _freeze(self, place: str) -> Ingester:
        """Start an ingester, and wait until it is frozen at an exact place."""
        self._stop(self._stream())
        frozen = self._journal.with_suffix(".frozen")
        self._current = old = self._begin(die=place, times=self._rng.randint(1, 3), freeze=frozen)

        def stopped() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            return frozen.exists()

        wait_until(f"run {old.run} freezes {place}", stopped)
        frozen.unlink()
        return old

    def _take_over(self, old: Ingester, *, while_sending: bool = True) -> None:
        try:
            self._current = self._begin()
            # If the old owner is frozen in a transaction, its connection is terminated, which takes a while. In the
            # middle of a COPY or of a write to the journal, it may have to be resumed first.
            try:
                self._await_subscribed(self._current, seconds=self._takeover)
            except CampaignError:
                self.held_up += 1
            if while_sending:
                self._send()
        finally:
            old.signal(signal.SIGCONT)
        self._replaced(old, while_sending=while_sending)

    def _frozen_and_taken_over_elsewhere(self) -> None:
        """By an ingester with another journal, so that only the lease prevents the old owner from writing."""
        old = self._stream()
        # Usually not in a transaction, which other faults cover, at the cost of seconds.
        wait_until("the journal is loaded", lambda: self._loaded(self._journal) or old.exit_code is not None)
        old.signal(signal.SIGSTOP)
        try:
            self._current = other = self._begin(self._elsewhere)
            try:
                self._await_subscribed(other, seconds=self._takeover)
            except CampaignError:
                self.held_up += 1
                old.signal(signal.SIGCONT)
                self._await_subscribed(other)
            before = self._written(self._journal)
            # The old owner gets these too; they wait in its socket.
            for _ in range(2):
                self._send()
                self._pause(0.2)
            wait_until("the other machine stores", lambda: self._loaded(self._elsewhere) or other.exit_code is not None)
        finally:
            old.signal(signal.SIGCONT)
        self._writes_nothing_more(old, before)
        self._replaced(old)
        self.kept_waiting += self._waiting(self._journal) or 0
        # The feed comes back to this machine; frames may be left on the other one.
        if self._rng.random() < 0.5:
            other.signal(signal.SIGKILL)
            self._killed(other, self._await_end(other))
        else:
            self._current = self._begin()
            self._await_subscribed(self._current)
            self._replaced(other)

    def _writes_nothing_more(self, old: Ingester, before: Written) -> None:
        """Check that an old owner writes nothing until it ends, while it receives frames."""

        def over() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            return old.exit_code is not None or self._written(self._journal) != before

        wait_until(f"the end of run {old.run}", over)
        after = self._written(self._journal)
        if after != before:
            raise CampaignError(f"run {old.run} wrote after another machine had taken over: {before} became {after}")

    def _two_owners_at_once(self) -> None:
        """One of them takes over, or none, if one took the journal and the other the lease; never both."""
        self._stop(self._stream())
        both = [self._begin(), self._begin()]

        def has_one_owner() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            alive = [ingester for ingester in both if ingester.exit_code is None]
            return not alive or (len(alive) == 1 and self._subscribed(alive[0]))

        wait_until("one owner", has_one_owner)
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
        # So many frames that the close frame arrives before the client has read them all.
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
    """A report of the faults and the numbers."""
    lines = [f"seed {seed}: {campaign.faults.total()} faults in {seconds:.0f} s"]
    lines += [f"  {times:5} x {kind}" for kind, times in sorted(campaign.faults.items())]
    counts = count._replace(problems=[])._asdict()
    lines += [f"  {number:9,} {name}" for name, number in counts.items() if name != "problems"]
    lines += [f"  {campaign.held_up:9,} takeovers that waited for the frozen owner"]
    lines += [f"  {campaign.kept_waiting:9,} frames that waited until their machine had the feed again"]
    lines += [f"  {count.sent - count.journalled:9,} frames that were lost with their connection, before the journal"]
    lines += [f"  {len(campaign.proofs.said):9,} times that a candle was proven"]
    lines += ["PROBLEMS:", *count.problems] if count.problems else ["every event is stored once, and the ledger agrees"]
    return "\n".join(lines)
