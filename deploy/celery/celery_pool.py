"""The pool of Celery's workers, which outlives a run that ends while Redis is away: Celery's issue 9250.

A process that has ended and is not joined yet has nothing to watch any more. When Celery (5.7) connects again, it
watches that all the same, and raises ValueError: the worker takes no run then, and ends when its last run has ended.
"""

from typing import Any

from celery.concurrency import asynpool, prefork


class AsynPool(asynpool.AsynPool):  # type: ignore[misc]  # Celery has no types
    """Processes of a worker, of which those that have ended are left to `maintain_pool`."""

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        if getattr(proc, "_sentinel_poll", proc) is not None:
            super()._track_child_process(proc, hub)


class TaskPool(prefork.TaskPool):  # type: ignore[misc]  # Celery has no types
    """Celery's pool of processes, with these."""

    Pool = AsynPool
