"""The long campaign, and one with a defect, for `make soak`: pytest collects no file of this name by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.lost_machines import campaign as campaigns
from ticks_platform_tests.lost_machines.campaign import Campaign
from ticks_platform_tests.lost_machines.rig import FEEDS, KEY, Rig

FAULTS = int(os.environ.get("TICKS_LOST_FAULTS") or 14)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or random.randrange(1_000_000))


@pytest.fixture
def rig(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Machines and servers."""
    monkeypatch.setenv(KEY, "demo")
    with Rig(tmp_path, database) as running:
        yield running


def test_the_account_is_right_after_every_fault(rig: Rig) -> None:
    print(f"\nTICKS_SOAK_SEED={SEED} TICKS_LOST_FAULTS={FAULTS}")
    campaign = Campaign(rig, SEED)
    problems = campaign.run(FAULTS)
    print(campaign.table())
    assert not problems, "\n".join(problems)


class Forgetful(Campaign):
    """The servers lose what they have acknowledged."""

    @contextlib.contextmanager
    def _moved(self) -> Iterator[None]:
        with self._rig.to_database.cut():
            time.sleep(2.0)
            self._rig.owner.kill()
            self._take_stock(self._rig.owner)
            asyncio.run(self._purge())
            self._replace()
        yield

    async def _purge(self) -> None:
        client = await nats.connect(self._rig.servers.urls[0])
        for feed in FEEDS:
            await client.jetstream().purge_stream(f"ticks_{feed}")
        await client.close()


def test_the_count_finds_a_copy_that_was_lost(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "READ_WITHIN", 1.0)
    problems = Forgetful(rig, SEED).run(1, kinds=["killed, and another machine"])
    assert any("events were copied, and are not stored" in problem for problem in problems)
    assert any("copied up to" in problem for problem in problems)
