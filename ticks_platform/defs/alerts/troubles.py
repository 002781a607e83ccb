"""The sensor `alert_troubles`."""

import time

import dagster as dg

from ticks_platform.alerts.told import Told
from ticks_platform.defs.alerts.posting import INTERVAL, AlertsResource, deliver, is_on, short
from ticks_platform.defs.common.project import feed_settings, feeds_file
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.monitoring import troubles
from ticks_platform.monitoring.database import Watcher


@dg.definitions
def alert_troubles() -> dg.Definitions:
    """The sensor, where alerts are posted."""
    if not is_on():
        return dg.Definitions()
    feeds, file = feed_settings().feeds, feeds_file()
    watcher = Watcher()

    @dg.sensor(
        name="alert_troubles",
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts what is wrong with database, feeds, settings, clocks, the database's own jobs, disk and journals: "
            "when it begins, while it lasts after 1 hour, 4 more hours and then every day, and when it is over. Needs "
            "no database. What cannot be posted now is posted later."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext, ticks_database: DatabaseResource, ticks_alerts: AlertsResource
    ) -> dg.SensorResult:
        told = Told.load(context.cursor)
        seen = troubles.look(watcher, ticks_database.database, feeds, file)
        found = [trouble._replace(text=short(trouble.text)) for trouble in seen.troubles]
        now = time.time()
        told.follow(found, now=now, is_unknown=seen.is_unknown, why_over=seen.why_over)
        return dg.SensorResult(
            skip_reason=deliver(told, ticks_alerts, sensor="alert_troubles", now=now), cursor=told.dump()
        )

    return dg.Definitions(sensors=[sensor])
