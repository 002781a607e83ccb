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

SOAK = os.environ.get("TICKS_SOAK_FAULTS")
"""The number of faults in `make soak`; if not set, one of each kind."""

FAULTS = int(SOAK or 0)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or (random.randrange(1_000_000) if SOAK else 11))
KINDS = [kind for kind in os.environ.get("TICKS_SOAK_KINDS", "").split(",") if kind]

pytestmark = pytest.mark.full


def test_every_event_is_accounted_for(database: Database, server_url: str | None, tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    began = time.monotonic()
    with FieldCampaign(folder=tmp_path, database=database, seed=SEED, native=server_url is not None) as campaign:
        if KINDS:
            campaign.kinds = {kind: campaign.kinds[kind] for kind in KINDS}
        campaign.run(FAULTS or len(campaign.kinds))
        count = campaign.count()
        print(table(campaign, count, seed=SEED, seconds=time.monotonic() - began))
    assert count.problems == []
    assert set(campaign.faults) == set(campaign.kinds), "each kind at least once"
