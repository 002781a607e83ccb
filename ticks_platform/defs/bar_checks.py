"""The asset check that compares our candles with the provider's bars, which knows of losses that no gap explains."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.timescale import candle_quality
from ticks_platform.timescale.candles.candles import ONE_MINUTE

WINDOW = timedelta(hours=2)
SETTLING = timedelta(minutes=15)
"""Polygon corrects bars for so long."""


def candles_equal_bars(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `candles_equal_bars` over the feeds of feeds.yaml."""
    tolerances = {feed.name: feed.bar_tolerance for feed in settings.feeds}

    @dg.asset_check(
        asset=ONE_MINUTE.name,
        name="candles_equal_bars",
        description=(
            "Where a feed has the provider's bars of a minute too, open, high, low, close and volume of our candles of "
            f"the last {WINDOW.total_seconds() / 3600:g} hours are theirs, within the feed's bar_tolerance; minutes in "
            "known gaps are left out. States the part of the provider's volume that our ticks have, which is about the "
            "share of ticks that was received. A provider may leave trades out of its bars that it streams."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = candle_quality.against_bars(cursor, tolerances, window=WINDOW, settling=SETTLING)
        share = "" if found.share is None else f"; our ticks have {found.share:.2%} of the provider's volume"
        return dg.AssetCheckResult(
            passed=not found.differing,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{found.differing} of {found.minutes} candles differ from the provider's bars{share}"
                if found.minutes
                else "no feed has brought bars of a minute to compare with"
            ),
            metadata={
                "minutes": dg.MetadataValue.int(found.minutes),
                "differing": dg.MetadataValue.int(found.differing),
                **({} if found.share is None else {"share of ticks": dg.MetadataValue.float(round(found.share, 6))}),
                **(
                    {
                        "examples": dg.MetadataValue.table(
                            [dg.TableRecord({key: str(value) for key, value in row.items()}) for row in found.examples]
                        )
                    }
                    if found.examples
                    else {}
                ),
            },
        )

    return check
