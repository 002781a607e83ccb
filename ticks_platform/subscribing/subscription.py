"""What a subscriber is told, and the handle that it holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

logger = logging.getLogger(__name__)


class Change(NamedTuple):
    """A row that is new (`is_addition`), or that is no longer so because the next change replaces it."""

    key: Any
    """What identifies the row: the old one and the new one of a replacement have the same."""
    row: Any
    """Of a feed the event (Tick, Quote or Bar), of a table a named tuple of its columns, with times in UTC."""
    time: datetime
    """Event time, in UTC; of bars and candles the begin of their window."""
    is_addition: bool


OnChange = Callable[[Change], object]


class Source(Protocol):
    """Where changes come from."""

    name: str

    def open(self) -> None:
        """Begin. Raises what can be known at once, and then leaves nothing behind."""

    def follow(self, hand_on: OnChange) -> None:
        """Hand changes on until `stop`. Raises what ended it, and whatever `hand_on` raises."""

    def stop(self) -> None:
        """Ask `follow` to return. Safe from any thread, and more than once."""

    def close(self) -> None:
        """Let go of everything, after `follow` has returned."""


class _ClosedError(Exception):
    """The subscription was closed while there was more to hand on."""


class Subscription:
    """A subscription at work. Use it as a context manager, or `close` it."""

    def __init__(self, source: Source, on_change: OnChange) -> None:
        """Begins at once. Raises what `Source.open` raises."""
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
        """What ended it: what `on_change` raised, FeedRefusedError, a psycopg2.Error. None while it goes on, and when
        it was closed."""
        return self._error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait up to `seconds`, or for as long as it takes, for it to end; returns whether it has. Raises `error`."""
        ended = self._ended.wait(seconds)
        if self._error is not None:
            self._raised = True
            raise self._error
        return ended

    def close(self) -> None:
        """End it; what was read and not yet handed on is let go. Safe more than once, and from within `on_change`.

        Waits for a call of `on_change` that is at work, so that there is none once this has returned.
        """
        self._closing.set()
        self._source.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        """Close it. Raises `error` unless `wait` has done so, or something else is being raised."""
        self.close()
        if kind is None and self._error is not None and not self._raised:
            raise self._error

    def _run(self) -> None:
        try:
            self._source.follow(self._hand_on)
        except _ClosedError:
            pass
        except BaseException as error:
            self._error = error
            logger.exception("the subscription to %s has ended", self._source.name)
        finally:
            try:
                self._source.stop()
                self._source.close()
            finally:
                self._ended.set()

    def _hand_on(self, change: Change) -> None:
        if self._closing.is_set():
            raise _ClosedError
        self._on_change(change)
