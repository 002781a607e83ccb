"""What Dagster loads: the platform, with features and a backtest that run by themselves."""

import dagster as dg

from examples.signals import backtest, features
from ticks_platform import one_process, platform_definitions, run_when_proven


@dg.definitions
def defs() -> dg.Definitions:
    """The platform and the signals. A project that `ticks init` makes is loaded in the same way."""
    return dg.Definitions.merge(
        platform_definitions(),
        dg.Definitions(
            assets=dg.load_assets_from_modules([features, backtest]),
            asset_checks=dg.load_asset_checks_from_modules([features]),
            sensors=[
                run_when_proven(features.features),
                # Follows the features. Of these assets alone: no asset of the platform is run by it.
                dg.AutomationConditionSensorDefinition(
                    "signals",
                    target=dg.AssetSelection.groups("signals"),
                    default_status=dg.DefaultSensorStatus.RUNNING,
                ),
            ],
            executor=one_process,
        ),
    )
