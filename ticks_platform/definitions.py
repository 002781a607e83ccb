"""What `dagster dev` and `dg` load, and what a project merges with its own: start reading here.

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
| `reading/` | candles as DataFrames for assets of a project |
| `dagster_history/` | purging finished runs and older reports |
| `common/` | resources, labels, the job `bring_up` |
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ticks_platform import defs as folders
from ticks_platform import env_file
from ticks_platform.defs.common import masking, project
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.dagster_history.job import purging
from ticks_platform.timescale.policies.settings import load_policies


def platform_definitions(
    *, feeds_file: Path | str | None = None, policies_file: Path | str | None = None
) -> dg.Definitions:
    """All assets, checks, jobs, schedules, sensors and resources of the platform, to merge with a project's own.

    There is no executor and no logger in it, no job selects assets that are not its own, and its resource keys begin
    with ``ticks_``. The files are those of the project, unless others are named. A code location has the platform once.

    Raises SettingsError when feeds.yaml or policies.yaml cannot be used, and EnvFileError for the project's .env.
    """
    # Before masking looks for keys. The runs inherit what is noted, and follow a corrected key.
    env_file.load()
    masking.install()
    with project.files(feeds=feeds_file, policies=policies_file):
        # Read first: an error raised while the folders are loaded would be the cause of one of Dagster's own.
        project.feed_settings()
        load_policies(project.policies_file())
        # As load_from_defs_folder, which needs a dg.toml, and an installed package has none. Of the folder alone: for
        # the whole tree, Dagster also describes all kinds of components of all packages, in a third of the time.
        tree = dg.ComponentTree.from_module(folders, project_root=Path(__file__).parents[1])
        found = tree.build_defs(Path(folders.__file__).parent)
        # It is about all of them.
        history = purging(found)
    # Without the tree of their folders: of two definitions that each have one, Dagster merges none.
    return dg.Definitions(
        assets=found.assets,
        asset_checks=found.asset_checks,
        jobs=[*(found.jobs or ()), *(history.jobs or ())],
        schedules=[*(found.schedules or ()), *(history.schedules or ())],
        sensors=found.sensors,
        resources=found.resources,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The platform alone. One process a run takes half the memory and start time of Dagster's default executor."""
    return dg.Definitions.merge(platform_definitions(), dg.Definitions(executor=one_process))
