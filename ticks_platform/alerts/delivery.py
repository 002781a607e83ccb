"""What a sensor of alerts has left to be posted, in a file: for `ticks status` and the metrics, on the same machine."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from ticks_platform.paths import state_dir

FRESH = 900.0
"""Seconds for which a file counts: a sensor writes it with each look, while Dagster runs and alerts are on."""


class Delivery(NamedTuple):
    """How the posting of a sensor's messages goes."""

    sensor: str
    waiting: int
    """Messages that are to be posted."""
    error: str | None
    """Why the last attempt failed; None if it did not."""


def _folder() -> Path:
    return state_dir() / "alerts"


def write(delivery: Delivery) -> None:
    """Keep it for others. A disk that is full must not keep an alert from being posted."""
    file = _folder() / f"{delivery.sensor}.json"
    new = file.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.write_text(json.dumps(delivery._asdict()), encoding="utf-8")
        new.replace(file)


def deliveries() -> list[Delivery]:
    """Those of the sensors that run."""
    found = []
    with contextlib.suppress(OSError):
        for file in sorted(_folder().glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                if abs(time.time() - file.stat().st_mtime) < FRESH:
                    found.append(Delivery(**json.loads(file.read_text(encoding="utf-8"))))
    return found


def trouble() -> str | None:
    """What people do not get to know by the webhook, in words; None if it takes what is posted."""
    failing = [each for each in deliveries() if each.error is not None]
    if not failing:
        return None
    waiting = sum(each.waiting for each in failing)
    return f"alerts are not delivered: {failing[0].error}; {waiting} messages wait, and are posted once it takes them"
