"""What commands print."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ticks_platform.escaping import lines
from ticks_platform.masking import mask

PROGRESS_SECONDS = 10.0
"""Seconds between lines that say how long something has taken so far."""


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a text without secrets, and without control characters, with which a symbol could move the cursor."""
    click.echo(lines(mask(str(text))), err=err)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """While something lasts, say every PROGRESS_SECONDS how long it has taken."""
    ended, began = threading.Event(), time.monotonic()

    def follow() -> None:
        while not ended.wait(PROGRESS_SECONDS):
            echo(f"{what}, {time.monotonic() - began:.0f} s so far", err=True)

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
