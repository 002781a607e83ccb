"""For all faults: processes to kill, a stand-in that records what it sends, and the journals of two machines."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from pathlib import Path
from typing import NamedTuple

import psycopg2
from typing_extensions import Self

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.journal.journal import JournalError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform_tests.faults.events import Tape
from ticks_platform_tests.faults.ingester import FEED, LOST, TAKEN_OVER, Order, markers
from ticks_platform_tests.faults.processes import PATIENCE, CampaignError, Ingester, wait_until
from ticks_platform_tests.faults.proofs import Proofs
from ticks_standin import ConnectionAccount, RawFrame, StandIn, StandInError, StandInSettings

BUDGET_MEGABYTES = 4
"""Limit of the journal: small, so that it is full soon without the database, but with room for a huge frame."""


class Written(NamedTuple):
    """What was loaded from one journal."""

    position: int
    frames: int
    ticks: int
    rejected: int


class Rig:
    """One stand-in and its ingesters. A context manager, which ends every process on exit.

    There are two journals, as on two machines: the usual one, and one "elsewhere", which few faults use.
    """

    def __init__(self, *, folder: Path, database: Database, seed: int, mutation: str | None = None) -> None:
        """`mutation` is a defect that every ingester has."""
        self.log = folder / "ingesters.log"
        self._journal = folder / "journal.sqlite3"
        self._elsewhere = folder / "elsewhere" / "journal.sqlite3"
        self._side_file = folder / "notes.jsonl"
        self._database = database
        self._mutation = mutation
        self._rng = random.Random(seed)
        # A separate generator, because the machine's speed decides how much is sent: a seed gives the same faults.
        self._tape = Tape(random.Random(f"{seed} events"))
        self._stand_in = StandIn(
            StandInSettings(rate=0, record=True, accept_any_symbol=True, max_connections=8, idle_timeout_s=3_600)
        )
        self._sent: dict[int, ConnectionAccount] = {}
        self._runs = 0
        self._unclean_runs: set[int] = set()
        self._current: Ingester | None = None
        self._all: list[Ingester] = []
        self.proofs = Proofs(database, self._side_file)

    def __enter__(self) -> Self:
        self._stand_in.__enter__()
        self.proofs.__enter__()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for ingester in self._all:
            ingester.kill()
        self.proofs.__exit__()
        self._stand_in.__exit__(None, None, None)

    def _begin(
        self, journal: Path | None = None, *, die: str | None = None, times: int = 1, freeze: Path | None = None
    ) -> Ingester:
        """Start an ingester, with the usual journal or this one."""
        self._runs += 1
        ingester = Ingester(
            Order(
                run=self._runs,
                url=self._stand_in.url("twelve_data", key=None),
                database=self._database.url(),
                journal=str(journal or self._journal),
                side_file=str(self._side_file),
                max_megabytes=BUDGET_MEGABYTES,
                die=die,
                times=times,
                freeze=str(freeze) if freeze else None,
                mutation=self._mutation,
            ),
            self.log,
        )
        self._all.append(ingester)
        return ingester

    def _stream(self, journal: Path | None = None) -> Ingester:
        """The ingester that streams; starts one if there is none."""
        if self._current is None:
            self._current = self._begin(journal)
        self._await_subscribed(self._current)
        return self._current

    def _await_subscribed(self, ingester: Ingester, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not self._subscribed(ingester):
            if ingester.exit_code is not None:
                raise CampaignError(f"run {ingester.run} ended with {ingester.exit_code}")
            if time.monotonic() > deadline:
                raise CampaignError(f"run {ingester.run} did not stream within {seconds:g} s")

    def _subscribed(self, ingester: Ingester) -> bool:
        with contextlib.suppress(StandInError):
            self._stand_in.wait_until_subscribed(markers(ingester.run, 0)[0], timeout_s=0.1)
            return True
        return False

    def _send(self, frames: list[RawFrame] | None = None) -> None:
        """Send a burst to all connections; a large one leads to direct compression."""
        size = self._rng.choices([self._rng.randint(1, 30), self._rng.randint(100, 600), 12_000], [60, 38, 2])[0]
        self._stand_in.inject(*(frames or self._tape.burst(size)))

    def _remember_sent(self) -> None:
        # The stand-in drops the accounts of old connections.
        self._sent |= {connection.number: connection for connection in self._stand_in.account().connections}

    def _await_end(self, ingester: Ingester, *, while_sending: bool = False) -> int:
        def ended() -> bool:
            if while_sending:
                self._stand_in.inject(*self._tape.burst(5))
            return ingester.exit_code is not None

        wait_until(f"the end of run {ingester.run}", ended)
        assert ingester.exit_code is not None
        if ingester is self._current:
            self._current = None
        return ingester.exit_code

    def _killed(self, ingester: Ingester, code: int) -> None:
        if code != -signal.SIGKILL:
            raise CampaignError(f"run {ingester.run} ended with {code} before it was killed")
        self._unclean_runs.add(ingester.run)

    def _replaced(self, ingester: Ingester, *, while_sending: bool = True) -> None:
        """Wait until a run ends because it was replaced."""
        code = self._await_end(ingester, while_sending=while_sending)
        if code != TAKEN_OVER:
            raise CampaignError(f"run {ingester.run} was replaced, but ended with {code}")
        self._unclean_runs.add(ingester.run)

    def _stop(self, ingester: Ingester) -> None:
        ingester.signal(signal.SIGTERM)
        code = self._await_end(ingester)
        lines = self.log.read_text(errors="replace").splitlines()
        # Stopped while its journal was full and the database away: it says that it keeps what it can, and no more.
        if any(line.startswith(f"run {ingester.run} ") and LOST in line for line in lines):
            self._unclean_runs.add(ingester.run)
        elif code != 0:
            raise CampaignError(f"run {ingester.run} was stopped, but ended with {code}")

    def _drain(self, journal: Path) -> None:
        """Load everything that waits in a journal, and stop the ingester."""
        ingester = self._stream(journal)
        self._send()
        wait_until("the journal is loaded", lambda: self._loaded(journal) or ingester.exit_code is not None)
        self._stop(ingester)

    def _loaded(self, journal: Path) -> bool:
        with contextlib.suppress(DatabaseUnavailableError, psycopg2.Error, JournalError):
            return self._waiting(journal) == 0
        return False

    def _waiting(self, journal: Path) -> int | None:
        """Frames that are not loaded; None if the database does not know the journal."""
        with self._database.autocommit() as cursor:
            account = audit.journal_account(cursor, FEED, journal)
        return account.waiting if account else None

    def _written(self, journal: Path) -> Written:
        """What was loaded from a journal."""
        with journal_view(journal) as state:
            journal_id = state.journal_id
        with self._database.autocommit() as cursor:
            cursor.execute(
                """
                SELECT position, frames,
                    (SELECT count(*) FROM stocks_real_time
                     WHERE right(tick_id::text, 4) = lpad(to_hex(journal_number), 4, '0')),
                    (SELECT count(*) FROM ticks_platform.rejected_event
                     WHERE rejected_event.journal_number = feed_checkpoint.journal_number)
                FROM ticks_platform.feed_checkpoint WHERE journal_id = %s
                """,
                (journal_id,),
            )
            (row,) = cursor.fetchall()
        return Written(*row)

    def _log_tail(self) -> str:
        # Without the notices that events of the test cause.
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if "slow down" not in line]
        return "\n".join(lines[-40:])

    def _pause(self, at_most: float) -> None:
        """Sleep for a random time that the seed decides; deliberately not until a condition holds."""
        time.sleep(self._rng.uniform(0.0, at_most))
