"""Whether Dagster's queue has room for the runs of all feeds, which never end, and for others beside them."""

import dagster as dg

OTHERS = 10
"""Runs that should have room beside those of feeds: bring_up, refreshes, checks, repair, and successors of feeds."""


def lack_of_room(instance: dg.DagsterInstance, runs: int) -> str | None:
    """What to do where so many runs of feeds leave too little room, in words; None where there is enough."""
    # A queue alone has a limit. Dagster tells it in no public way.
    queue = instance.get_concurrency_config().run_queue_config
    limit = queue.max_concurrent_runs if queue is not None else None
    if limit is None or limit < 0 or runs + OTHERS <= limit:
        return None
    return (
        f"{runs} runs of feeds never end, and at most {limit} runs are executed at once: then feeds wait for ever, and "
        f"so do checks, refreshes and repair. Set concurrency.runs.max_concurrent_runs in dagster.yaml to "
        f"{runs + OTHERS} or more and restart Dagster, or let small feeds share a run (`group` in feeds.yaml)"
    )
