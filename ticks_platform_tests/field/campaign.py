"""The field campaign: many faults, selected by a seed, and the count at the end."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.processes import CampaignError
from ticks_platform_tests.field import account
from ticks_platform_tests.field.faults import Faults
from ticks_platform_tests.field.market import ASKED, STOCKS
from ticks_platform_tests.field.rig import Machine

PROVEN_EACH = 10
"""Faults after which gaps are repaired and candles proven, in the middle of what the fault has left."""


class FieldCampaign(Faults):
    """A number of faults on three feeds at once. A context manager, which ends every process on exit.

    Nothing waits for a full recovery: faults meet the consequences of earlier ones.
    """

    def __init__(
        self, *, folder: Path, database: Database, seed: int, native: bool, mutation: str | None = None
    ) -> None:
        """`native` tells whether the database has more than one session. `mutation` is a defect of every machine."""
        super().__init__(folder=folder, database=database, seed=seed, native=native, mutation=mutation)
        self.faults: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    def run(self, faults: int) -> None:
        """Make so many faults, each kind equally often. Raises CampaignError."""
        for number in range(faults):
            if number % len(self.kinds) == 0:
                bag = self.rng.sample(sorted(self.kinds), len(self.kinds))
            self.make(bag.pop())
            if number % PROVEN_EACH == PROVEN_EACH - 1:
                self.prove()

    def prove(self) -> None:
        """Repair what can be, prove candles, and remember what is said. Raises CampaignError."""
        self.stream()
        self.everything_arrives()
        self.proofs.repair()
        self.proofs.prove()

    def make(self, kind: str) -> None:
        """Make one fault of this kind, with events before and after it. Raises CampaignError."""
        began = time.monotonic()
        try:
            self.stream()
            self.send()
            self.kinds[kind]()
            self.stream()
            self.send(5)
        except CampaignError as error:
            raise CampaignError(f"{kind}, after {dict(self.faults)}: {error}\n{self.log_tail()}") from error
        self.faults[kind] += 1
        self.seconds[kind] += time.monotonic() - began

    def count(self) -> account.Count:
        """Load everything, stop the machines, and compare."""
        try:
            if any(self.there.disk.path.glob("*.sqlite3")):
                if self.here.process is not None:
                    self._drain(self.here)
                self._drain(self.there)
            self._drain(self.here)
            self.end_market()
            self.proofs.repair()
            self.proofs.prove()
        except CampaignError as error:
            raise CampaignError(f"at the end: {error}\n{self.log_tail()}") from error
        with self.database.transaction() as cursor:
            for feed in ASKED:
                gaps.update(cursor, feed, now=datetime.now(timezone.utc))
        with self.database.autocommit() as cursor:
            corrected = {each.correct for each in self.past.taken_back.values() if each.correct is not None}
            found = account.count(cursor, self.server.sent, {STOCKS: self.past.results}, corrected)
            known = account.known_gaps(cursor)
            balance = [problem for each in audit.accounts(cursor) for problem in each.problems()]
            wrong = self.proofs.problems(self.server.sent, known)
            if self.problems or wrong or found.problems or balance:
                account.leave(cursor, self.server.sent, self._folder)
        return found._replace(problems=[*self.problems, *found.problems, *balance, *wrong])

    def _drain(self, machine: Machine) -> None:
        """Load what waits in a machine's journals, which is before what is sent now, and stop it."""
        if machine.process is None:
            machine.start()
        self.await_streaming(machine)
        self.everything_arrives()
        machine.stop()


def table(campaign: FieldCampaign, count: account.Count, *, seed: int, seconds: float) -> str:
    """A report of the faults and the numbers."""
    lines = [f"field campaign, seed {seed}: {campaign.faults.total()} faults in {seconds:.0f} s"]
    lines += [
        f"  {times:5} x {kind} ({campaign.seconds[kind] / times:.1f} s each)"
        for kind, times in sorted(campaign.faults.items())
    ]
    lines += [f"  {number:9,.0f} {name}" for name, number in count._asdict().items() if name != "problems"]
    lines += [
        f"  {number:9,} times that a candle was {proof}: {feed}, {every}"
        for (feed, proof, every), number in sorted(campaign.proofs.kinds().items())
    ]
    lines += [f"  {campaign.most_memory >> 20:9,} MB of memory at most"]
    lines += [f"  {campaign.largest_journal / (1 << 20):9,.1f} MB of a journal at most"]
    lines += ["PROBLEMS:", *count.problems] if count.problems else ["every event is accounted for"]
    return "\n".join(lines)
