"""Whatever happens to two machines and their servers, each event is stored once or lies in a known gap."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from ticks_platform_tests.machines.campaign import Campaign
from ticks_platform_tests.machines.rig import Rig
from ticks_platform_tests.support import skips

FAULTS = int(os.environ.get("TICKS_MACHINE_FAULTS") or 1)
SEED = int(os.environ.get("TICKS_SOAK_SEED") or random.randrange(1_000_000))


@pytest.mark.full
def test_the_account_is_right_after_every_fault(
    server_url: str | None, database_url: str, tmp_path: Path, repository_root: Path
) -> None:
    if server_url is None:
        skips.skip(skips.ONLY_NATIVE, "machines reach the database over their network")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.fail("network namespaces need root and the program ip (Debian: apt-get install iproute2)")
    print(f"\nseed {SEED}")
    with Rig(tmp_path, repository_root, database_url) as rig:
        campaign = Campaign(rig, SEED)
        problems = campaign.run(FAULTS)
        print(campaign.table())
    assert not problems, "\n".join(problems)
    assert not campaign.slow, campaign.slow
