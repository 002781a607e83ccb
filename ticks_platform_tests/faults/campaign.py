"""The faults, one after the other, and the count at the end."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.lease import application_name
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults import accounting
from ticks_platform_tests.faults.ingester import DEATHS, FEED
from ticks_platform_tests.faults.processes import CampaignError, EmbeddedServer, Ingester, wait_until
from ticks_platform_tests.faults.rig import BUDGET_MEGABYTES, Rig, Written
from ticks_standin import StandInError

TAKEOVER = 8.0
"""Seconds after which a frozen owner is let go before it was replaced; to evict it takes five."""

TAKEOVER_EMBEDDED = 2.0
"""The same on the embedded database, whose one session is an owner's who is frozen within a transaction."""


class Campaign(Rig):
    """A number of faults on one feed. Use as a context manager: leaving it ends every process.

    One stand-in sends, one ingester at a time is meant to ingest; after each fault there is one that streams, but
    nothing waits until the trouble is over: faults meet the traces of those before.
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
        """`server` is the database's server, if it may be killed; `evicts` says whether the database can end the
        transaction of somebody who is frozen. `mutation` is a defect that every ingester has."""
        super().__init__(folder=folder, database=database, seed=seed, mutation=mutation)
        self.faults: Counter[str] = Counter()
        self.held_up = 0
        """Takeovers that had to wait until the frozen owner went on."""
        self.kept_waiting = 0
        """Frames that waited in the journal of an owner which another machine had replaced."""
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
            if self._elsewhere.exists():
                self._stop(self._stream())
                self._drain(self._elsewhere)
            self._drain(self._journal)
        except CampaignError as error:
            raise CampaignError(f"at the end: {error}\n{self._last_words()}") from error
        self._remember_sent()
        with self._database.autocommit() as cursor:
            return accounting.count(
                cursor,
                tape=self._tape,
                sent=self._sent.values(),
                side_file=self._side_file,
                journals=[file for file in (self._journal, self._elsewhere) if file.exists()],
                broken_off=self._broken_off,
            )

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
            wait_until("the journal is full", self._full)
            if self._rng.random() < 0.5:
                ingester = self._stream()
                ingester.signal(signal.SIGKILL)
                self._killed(ingester, self._await_end(ingester))
        finally:
            with self._database.transaction() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO stocks_real_time")

    def _full(self) -> bool:
        with journal_view(self._journal) as journal:
            return journal.waiting_after(0).bytes >= BUDGET_MEGABYTES << 20

    def _frozen_and_taken_over(self) -> None:
        old = self._stream()
        self._send()
        self._pause(0.2)
        old.signal(signal.SIGSTOP)
        self._take_over(old)

    def _frozen_before_the_journal_and_taken_over(self) -> None:
        """Nothing reaches its successor until the old one has met the journal, which is not its own any more."""
        held_up = -1
        # One that was frozen within a transaction may have to be let go before it is replaced: then another one is.
        while held_up < self.held_up:
            held_up = self.held_up
            self._take_over(self._freeze("before the journal"), while_sending=False)

    def _frozen_at_a_place_and_taken_over(self) -> None:
        """Frozen with a transaction open, or with a commit that it has not heard of."""
        self._take_over(self._freeze(self._rng.choice(sorted(DEATHS))))

    def _freeze(self, place: str) -> Ingester:
        """A new ingester, frozen at an exact place."""
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
            # Frozen within a transaction, the old one is evicted, which takes a while. Only in the middle of a COPY or
            # of a write to the journal it may have to be let go first.
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
        """By an ingester with a journal of its own, so that nothing but the lease keeps the old one off the tables."""
        old = self._stream()
        # Not in the middle of a transaction, if it can be helped: that is for the other faults, and costs them seconds.
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
            # The old one gets these too: they wait in its socket.
            for _ in range(2):
                self._send()
                self._pause(0.2)
            wait_until("the other machine stores", lambda: self._loaded(self._elsewhere) or other.exit_code is not None)
        finally:
            old.signal(signal.SIGCONT)
        self._writes_nothing_more(old, before)
        self._replaced(old)
        self.kept_waiting += self._waiting(self._journal) or 0
        # The feed comes back to this machine, and something may be left on the other one.
        if self._rng.random() < 0.5:
            other.signal(signal.SIGKILL)
            self._killed(other, self._await_end(other))
        else:
            self._current = self._begin()
            self._await_subscribed(self._current)
            self._replaced(other)

    def _writes_nothing_more(self, old: Ingester, before: Written) -> None:
        """Until it has ended, and with frames coming in all the time."""

        def over() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            return old.exit_code is not None or self._written(self._journal) != before

        wait_until(f"the end of run {old.run}", over)
        after = self._written(self._journal)
        if after != before:
            raise CampaignError(f"run {old.run} wrote after another machine had taken over: {before} became {after}")

    def _two_owners_at_once(self) -> None:
        """One of them takes over, or, when each was first in something, none: never two."""
        self._stop(self._stream())
        both = [self._begin(), self._begin()]

        def settled() -> bool:
            self._stand_in.inject(*self._tape.burst(5))
            alive = [ingester for ingester in both if ingester.exit_code is None]
            return not alive or (len(alive) == 1 and self._subscribed(alive[0]))

        wait_until("one owner", settled)
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
    lines += [f"  {campaign.kept_waiting:9,} frames that waited for their machine to have the feed again"]
    lines += [f"  lost on the way to the journal, with their connection: {count.sent - count.journalled:,} frames"]
    lines += ["PROBLEMS:", *count.problems] if count.problems else ["every event once, and the ledger says the same"]
    return "\n".join(lines)
