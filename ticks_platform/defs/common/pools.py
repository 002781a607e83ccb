"""A place in a pool for what works without a run: those who refresh take turns, with or without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

_LOOK_SECONDS = 0.5


@contextmanager
def place(instance: dg.DagsterInstance, pool: str, owner: str, *, wait_seconds: float) -> Iterator[bool]:
    """Hold a place in this pool; whether there was one within these seconds.

    Only one `owner` of a name may ask at a time: what one before it has kept, since it was killed, is given back.
    Where Dagster's storage knows no pools, or this one has no limit, there is always a place.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits or not _has_limit(instance, pool):
        yield True
        return
    storage.free_concurrency_slots_for_run(owner)
    try:
        deadline = time.monotonic() + wait_seconds
        while not (is_held := storage.claim_concurrency_slot(pool, owner, owner).is_claimed):
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_SECONDS)
        yield is_held
    finally:
        storage.free_concurrency_slots_for_run(owner)


def _has_limit(instance: dg.DagsterInstance, pool: str) -> bool:
    """Whether the pool has one; it gets the default one with the first that asks, as by a run."""
    storage = instance.event_log_storage
    if any(limit.name == pool for limit in storage.get_pool_limits()):
        return True
    if instance.global_op_concurrency_default_limit is None:
        return False
    return storage.initialize_concurrency_limit_to_default(pool)
