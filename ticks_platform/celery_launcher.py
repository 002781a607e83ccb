"""The run launcher of deploy/celery: that of `dagster_celery`, with which a terminated run ends as CANCELED.

Only a `dagster.yaml` names it; nothing here imports it, since `dagster_celery` is in the extra `celery`.
"""

from dagster_celery import launcher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG


class CeleryRunLauncher(launcher.CeleryRunLauncher):
    """Starts runs as Celery tasks. Configured as the launcher of `dagster_celery` is."""

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end; returns whether its task was signalled.

        A run that has no task yet is ended by run monitoring, after `cancel_timeout_seconds`.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        # As Dagster's other launchers do. Else the run takes the signal for an accident, and ends as FAILURE.
        self._instance.report_run_canceling(run)
        return DAGSTER_CELERY_TASK_ID_TAG in run.tags and super().terminate(run_id)
