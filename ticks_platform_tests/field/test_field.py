"""Whatever the field does, every event is stored once, rejected, or lies in a known gap; defects are found."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.processes import CampaignError
from ticks_platform_tests.field.campaign import FieldCampaign, table
from ticks_platform_tests.field.mutations import MUTATIONS

SOAK = os.environ.get("TICKS_SOAK_FAULTS")
"""The number of faults in `make soak`; if not set, one of each kind."""

FAULTS = int(SOAK or 0)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or (random.randrange(1_000_000) if SOAK else 11))

pytestmark = pytest.mark.full


def test_every_event_is_accounted_for(database: Database, server_url: str | None, tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    began = time.monotonic()
    with FieldCampaign(folder=tmp_path, database=database, seed=SEED, native=server_url is not None) as campaign:
        campaign.run(FAULTS or len(campaign.kinds))
        # What another fault follows may lie in a gap; this is received.
        campaign.make("poison")
        count = campaign.count()
        print(table(campaign, count, seed=SEED, seconds=time.monotonic() - began))
    assert count.problems == []
    assert set(campaign.faults) == set(campaign.kinds), "each kind at least once"
    assert min(count.stored, count.rejected, count.in_gaps, campaign.most_memory, campaign.largest_journal) > 0


CAUGHT = {
    "coverage begins before its connection": ("provider away", "neither stored nor in a gap"),
    "rejected events are dropped": ("poison", "neither in rejected_event nor in a gap"),
    "a journal that comes back is not compared": ("journal that came back", "stored more often"),
}
"""For each mutation, the fault that reveals it, and a pattern of the reported problem."""


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_defect_is_found(mutation: str, database: Database, server_url: str | None, tmp_path: Path) -> None:
    fault, pattern = CAUGHT[mutation]
    native = server_url is not None
    with FieldCampaign(folder=tmp_path, database=database, seed=SEED, native=native, mutation=mutation) as campaign:
        try:
            campaign.make(fault)
            campaign.make(fault)
            problems = campaign.count().problems
        except CampaignError as error:
            problems = [str(error)]
    assert any(re.search(pattern, problem) for problem in problems), problems
