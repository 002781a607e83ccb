"""Whatever happens to machines and servers, what was copied is stored, and each event once or in a known gap."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.lost_machines.campaign import Campaign
from ticks_platform_tests.lost_machines.rig import KEY, Rig

FAULTS = int(os.environ.get("TICKS_LOST_FAULTS") or 0)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or random.randrange(1_000_000))


@pytest.mark.full
def test_the_account_is_right_after_every_fault(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "demo")
    print(f"\nseed {SEED}")
    with Rig(tmp_path, database) as rig:
        campaign = Campaign(rig, SEED)
        problems = campaign.run(FAULTS)
        print(campaign.table())
    assert not problems, "\n".join(problems)
