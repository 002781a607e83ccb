"""The sensor `report_newest`, which keeps the pages of candles and ticks alive, and has what is made of them run."""

import time

import dagster as dg

from ticks_platform.defs.candles.report_state import State
from ticks_platform.defs.candles.reporting import Reporter, Settings
from ticks_platform.defs.common.bring_up import unreachable
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource

INTERVAL = 15
"""Seconds between looks at what is due; most of them ask the database nothing."""


@dg.definitions
def report_newest() -> dg.Definitions:
    """The sensor over the feeds of feeds.yaml."""
    feeds = feed_settings().feeds
    settings = Settings(
        feeds=[feed.name for feed in feeds],
        symbols=[symbol for feed in feeds if feed.candles for symbol in feed.asked_symbols()],
    )

    @dg.sensor(
        name="report_newest",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Reports the newest candles and ticks to their assets, without a run: minutes every few minutes, hours and "
            "days once they are closed and again when they are corrected. Assets with an automation condition that are "
            "made of them run by that."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, ticks_database: DatabaseResource) -> dg.SensorResult:
        state = State.load(context.cursor)
        reporter = Reporter(ticks_database.database, settings, state, time.time())
        try:
            reporter.report()
        except UNREACHABLE as error:
            # What was found before it went away is reported: it is remembered as reported.
            reporter.notes.append(unreachable(error).skip_message or "")
        words = "; ".join(reporter.notes) or ("reported" if reporter.events else "nothing is due")
        return dg.SensorResult(asset_events=reporter.events, skip_reason=words, cursor=state.dump())

    return dg.Definitions(sensors=[sensor])
