"""The executor of our jobs: Dagster's in one process, with which a run that is told to end is CANCELED, not failed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode


class _OneProcess(dg.Executor):
    """Dagster's own, which calls what a signal ended a failure, unless somebody asked for it in the UI."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        try:
            yield from self._inner.execute(plan_context, execution_plan)
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            _cancel(plan_context.instance, plan_context.run_id, plan_context.log)
            raise


def _create(init_context: dg.InitExecutorContext) -> dg.Executor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None
    return _OneProcess(create(init_context))


one_process = dg.ExecutorDefinition(
    name="in_process",
    config_schema=dg.in_process_executor.config_schema.config_type,
    executor_creation_fn=_create,
    description="Execute all steps in a single process. A run whose process is told to end is canceled.",
)
"""All steps in the run's own process: half the memory and start time of Dagster's default executor. A run whose process
is told to end, as by the stop of `ticks dev` or of a machine, ends as CANCELED: nothing is wrong with it, and nobody is
to look for a fault."""


def _cancel(instance: dg.DagsterInstance, run_id: str, log: dg.DagsterLogManager) -> None:
    """Let the run that is ending count as canceled, whoever asked for that."""
    try:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status == dg.DagsterRunStatus.STARTED:
            instance.report_run_canceling(run, "the process of this run was told to end")
    except Exception as error:  # noqa: BLE001  (whatever the storage raises; the run has to end)
        log.warning(f"this run could not mark itself as canceled: {type(error).__name__}: {error}")
