"""Signals that ask a process to stop.

A handler runs in the main thread between any two of its steps. If it set an Event for which that thread waits, it could
wait for the Event's lock, which the thread that it interrupts holds: for ever.
"""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


def call_on(function: Callable[[], object], *numbers: signal.Signals) -> None:
    """Call the function, in a thread of its own, each time that one of these signals arrives. For the main thread."""
    # `put` of a SimpleQueue may interrupt another one: https://docs.python.org/3/library/queue.html
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def follow() -> None:
        while True:
            number = arrived.get()
            try:
                function()
            except Exception:
                # The next signal must find somebody who follows.
                logger.exception("cannot do what signal %d asks for", number)

    threading.Thread(target=follow, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda number, _frame: arrived.put(number))
