"""``python -m benchmarks.timed_ingest FEED FILE``: `ticks ingest`, and in FILE how long its slowest statements took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ticks_platform.cli.main import ticks
from ticks_platform.ingestion.statement_watch import StatementWatch

T = TypeVar("T")

_KEPT = 20

_slowest: list[tuple[float, str]] = []


def _note(began: float, statement: Any) -> None:
    text = statement.decode("utf-8", "replace") if isinstance(statement, bytes) else str(statement)
    _slowest.append((time.perf_counter() - began, " ".join(text.split())[:200]))
    _slowest.sort(reverse=True)
    del _slowest[_KEPT:]


def main() -> None:
    """Stream until a signal. What is timed are the loader's statements, and COMMIT; not COPY, which takes
    as long as its rows."""
    feed, file = sys.argv[1], Path(sys.argv[2])
    watched = StatementWatch.watch

    def timed(watch: StatementWatch, statement: Any, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return watched(watch, statement, call)
        finally:
            if statement != "connect" and not str(statement).startswith("COPY"):
                _note(began, statement)

    StatementWatch.watch = timed  # type: ignore[assignment,method-assign]
    try:
        ticks(["ingest", feed], prog_name="ticks")
    finally:
        file.write_text(json.dumps(_slowest), encoding="utf-8")


if __name__ == "__main__":
    main()
