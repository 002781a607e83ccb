"""What is said of an import while it runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from ticks_platform.ingestion.imports.options import Progress


@contextlib.contextmanager
def reported(
    progress: Callable[[], Progress | None], say: Callable[[str], object], *, interval: float
) -> Iterator[None]:
    """Say how far the current file is, each `interval` seconds, from a thread of its own."""
    finished = threading.Event()

    def report() -> None:
        began_at, began_with = time.monotonic(), 0
        file = None
        while not finished.wait(interval):
            now = progress()
            if now is None:
                continue
            if now.file != file:
                file, began_at, began_with = now.file, time.monotonic(), now.bytes_read
            say(_line(now, now.bytes_read - began_with, time.monotonic() - began_at))

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        finished.set()
        reporter.join()


def _line(now: Progress, read: int, seconds: float) -> str:
    metrics = now.metrics
    left = (now.bytes - now.bytes_read) * seconds / read if read > 0 and seconds > 0 else None
    return (
        f"{now.file.name}: {now.bytes_read * 100 // max(now.bytes, 1)} %, {metrics.loaded:,} rows loaded, "
        f"{metrics.duplicate:,} known, {metrics.rejected:,} rejected"
        + (f", about {left:.0f} s left" if left is not None else "")
    )
