"""`Change`, which a subscriber gets, and `Subscription`, which it holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

logger = logging.getLogger(__name__)


class Change(NamedTuple):
    """A new row (`is_addition`), or an old row that the next change replaces."""

    key: Any
    """Identifies the row; the old and the new row of a replacement have the same key."""
    row: Any
    """The event of a feed (Tick, Quote or Bar), or a named tuple of a table's columns with times in UTC."""
    time: datetime
    """Event time in UTC; for bars and candles the start of their window."""
    is_addition: bool


OnChange = Callable[[Change], object]


class Source(Protocol):
    """A source of changes."""

    name: str

    def open(self) -> None:
        """Start. Raises the failures that are known at once, after closing everything."""

    def follow(self, deliver: OnChange) -> None:
        """Deliver changes until `stop`. Raises what ended it, and what `deliver` raises."""

    def stop(self) -> None:
        """Ask `follow` to return. Safe from any thread, and more than once."""

    def close(self) -> None:
        """Free all resources, after `follow` has returned."""


class _ClosedError(Exception):
    """The subscription was closed while changes remained to deliver."""


class Subscription:
    """A running subscription. Use it as a context manager, or call `close`."""

    def __init__(self, source: Source, on_change: OnChange) -> None:
        """Starts at once. Raises what `Source.open` raises."""
        self._source = source
        self._on_change = on_change
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._raised = False
        source.open()
        self._thread = threading.Thread(target=self._run, name=f"subscribe-{source.name}", daemon=True)
        self._thread.start()

    @property
    def error(self) -> BaseException | None:
        """What ended it: an exception of `on_change`, FeedRefusedError or a psycopg2.Error. None while it runs, and
        after `close`."""
        return self._error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it ends, at most `seconds`; return whether it has ended. Raises `error`."""
        ended = self._ended.wait(seconds)
        if self._error is not None:
            self._raised = True
            raise self._error
        return ended

    def close(self) -> None:
        """End it and drop what was read but not delivered. Safe to call repeatedly, and from within `on_change`.

        Waits for a running call of `on_change`: there is none after this returns.
        """
        self._closing.set()
        self._source.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """Close it. Raises `error` unless `wait` has raised it, or another exception is being raised."""
        self.close()
        if kind is None and self._error is not None and not self._raised:
            raise self._error

    def _run(self) -> None:
        try:
            self._source.follow(self._deliver)
        except _ClosedError:
            pass
        except BaseException as error:
            self._error = error
            logger.exception("subscription to %s ended", self._source.name)
        finally:
            try:
                self._source.stop()
                self._source.close()
            finally:
                self._ended.set()

    def _deliver(self, change: Change) -> None:
        if self._closing.is_set():
            raise _ClosedError
        self._on_change(change)
