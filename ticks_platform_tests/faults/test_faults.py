"""Every event that reached the journal is stored once, whatever fails; and mutations prove that this test can fail."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.campaign import Campaign, table
from ticks_platform_tests.faults.ingester import MUTATIONS
from ticks_platform_tests.faults.processes import CampaignError, EmbeddedServer
from ticks_platform_tests.support.platform_database import FILES

SOAK = os.environ.get("TICKS_SOAK_FAULTS")
"""The number of faults in `make soak`; if not set, one of each kind."""

FAULTS = int(SOAK or 0)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or (random.randrange(1_000_000) if SOAK else 7))


@pytest.fixture
def server(server_url: str | None, tmp_path: Path) -> Iterator[EmbeddedServer | None]:
    """A server that may be killed; None if the tests use an external one."""
    if server_url is not None:
        yield None
        return
    started = EmbeddedServer(tmp_path / "database")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def evicts(server_url: str | None) -> bool:
    """Whether the database can terminate a frozen owner's transaction; the embedded one has one session for all."""
    return server_url is not None


@pytest.fixture
def fault_database(server: EmbeddedServer | None, request: pytest.FixtureRequest) -> Database:
    """A database with the platform's tables, without rows."""
    if server is None:
        database: Database = request.getfixturevalue("database")
        return database
    database = Database(server.url)
    with database.transaction() as cursor:
        sql_files.apply(cursor, *FILES)
    return database


@pytest.mark.full
def test_many_faults_lose_nothing_and_double_nothing(
    fault_database: Database, server: EmbeddedServer | None, evicts: bool, tmp_path: Path
) -> None:
    print(f"\nseed {SEED}")
    began = time.monotonic()
    with Campaign(folder=tmp_path, database=fault_database, server=server, evicts=evicts, seed=SEED) as campaign:
        campaign.run(FAULTS or len(campaign.kinds))
        count = campaign.count()
    print(table(campaign, count, seed=SEED, seconds=time.monotonic() - began))
    assert count.problems == []
    assert set(campaign.faults) == set(campaign.kinds), "each kind at least once"
    assert campaign.kept_waiting > 0
    assert {each.proof for each in campaign.proofs.said} == {"proven", "final"}
    assert min(count.ticks, count.rejected, count.control) > 0


CAUGHT = {
    "rows stored twice": ("stopped and restarted", "ticks stored more than once"),
    "checkpoint ignored": ("killed between commit and trim", "ticks stored more than once"),
    "trimmed before the commit": ("killed before the commit", "ticks missing"),
    "rejected events dropped": ("stopped and restarted", "rejected events missing"),
    "rejected events dropped and not counted": ("stopped and restarted", "rejected events missing"),
    "journal not fenced": ("frozen before the journal and taken over", "ended with 1"),
    # Two owners append and load concurrently: either one finds the checkpoint moved, or neither ends.
    "nobody fenced off": ("frozen and taken over", "ended with 1|not within .* the end of run"),
    # Its own journal does not fence it, because nobody else has opened that.
    "lease not checked": ("frozen and taken over by another machine", "wrote after another machine had taken over"),
    "last frames not handed over": ("provider closes", "did not arrive"),
    "frames in the wrong order": ("stopped and restarted", "not the one sent"),
}
"""For each mutation, the fault that reveals it, and a pattern of the reported problem."""


def test_every_mutation_is_tried() -> None:
    assert set(CAUGHT) == set(MUTATIONS)


TRIED = tuple(CAUGHT) if SOAK else ("trimmed before the commit", "journal not fenced", "last frames not handed over")
"""One mutation each of loading, fencing and receiving; `make soak` tries all of them."""


@pytest.mark.full
@pytest.mark.parametrize("mutation", TRIED)
def test_a_defect_is_found(
    mutation: str, database: Database, evicts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, pattern = CAUGHT[mutation]
    if "not within" in pattern:
        monkeypatch.setattr("ticks_platform_tests.faults.processes.PATIENCE", 5.0)
    with Campaign(
        folder=tmp_path, database=database, server=None, evicts=evicts, seed=SEED, mutation=mutation
    ) as campaign:
        try:
            campaign.make(fault)
            campaign.make(fault)
            problems = campaign.count().problems
        except CampaignError as error:
            problems = [str(error)]
    assert any(re.search(pattern, problem) for problem in problems), problems
