"""What `dagster dev` and `dg` load: start reading here.

Everything is found by folder, below `ticks_platform/defs/`; `defs/__init__.py` says how.

| folder | what |
|---|---|
| `ticks/` | the hypertable of ticks, quotes, bars, companies |
| `candles/` | the candles, their refresh where policies do not reach, their rebuild |
| `policies/` | refresh, columnstore and retention policies, the reader's grants |
| `ingestion/` | the run of each feed, and the supervisor that keeps it alive |
| `gaps/` | market calendar, gaps, their repair from the providers' histories |
| `checks/` | the table of asset checks |
| `alerts/` | failed runs and checks, posted to a webhook |
| `common/` | resources, labels, the job `bring_up` |
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ticks_platform.defs.common.project import feed_settings, policies_file
from ticks_platform.timescale.policies.settings import load_policies


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster runs. Raises SettingsError when feeds.yaml or policies.yaml cannot be used."""
    # Read first: an error raised while the folders are loaded would be the cause of one of Dagster's own.
    feed_settings()
    load_policies(policies_file())
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
