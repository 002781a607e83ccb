"""What a run of ingestion does beside its stream, and whose failure must not end it: Dagster's storage may be away."""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import dagster as dg

from ticks_platform.defs.common.runs import SUCCESSOR_TAG

T = TypeVar("T")

logger = logging.getLogger(__name__)


def attempt(context: dg.OpExecutionContext, what: str, work: Callable[..., T], *arguments: Any) -> T | None:
    """Do something beside the stream; its failure is a warning, since the feed must go on."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001  (whatever Dagster's storage or the database raises)
        say(context, logging.WARNING, f"this run could not {what}: {type(error).__name__}: {error}")
        return None


def say(context: dg.OpExecutionContext, level: int, message: str) -> None:
    """Log in Dagster; where its storage is away too, only in this process's log, since the feed must go on."""
    try:
        context.log.log(level, message)
    except Exception:  # noqa: BLE001  (whatever the storage raises)
        logger.log(level, message)


def ask_for_successor(context: dg.OpExecutionContext, what: str) -> bool:
    """Ask the supervisor to launch a run that follows this one, which continues until then. Whether it is asked."""
    reason = f"feeds.yaml has changed, as seen at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"

    def ask() -> bool:
        context.instance.add_run_tags(context.run_id, {SUCCESSOR_TAG: reason})
        say(
            context,
            logging.INFO,
            f"{reason}; this run of {what} continues until another one takes over",
        )
        return True

    return bool(attempt(context, "ask for its successor", ask))


def finished_by_somebody_else(context: dg.OpExecutionContext) -> bool:
    """Whether this run was declared finished from outside."""
    run = context.instance.get_run_by_id(context.run_id)
    return run is None or run.is_finished
