"""Whatever happens to machines and servers, what was copied is stored, and each event once or in a known gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.lost_machines.campaign import Campaign
from ticks_platform_tests.lost_machines.rig import KEY, Rig


@pytest.mark.full
def test_a_machine_is_destroyed_and_another_one_has_all_that_was_copied(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make soak` makes many faults of all kinds."""
    monkeypatch.setenv(KEY, "demo")
    with Rig(tmp_path, database) as rig:
        # With this seed, nothing can be copied at the end, and its pauses are short.
        campaign = Campaign(rig, 874)
        problems = campaign.run(1, destroyed_every=1, is_final=False)
    assert not problems, "\n".join(problems)
    assert campaign.kept_bytes > 0
    assert campaign.lost_bytes > 0
