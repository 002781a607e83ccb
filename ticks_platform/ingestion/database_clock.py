"""Asks the clock of the database's server, if that is another machine."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from ticks_platform.feeds.transport.clock import boottime, steady_ns
from ticks_platform.timescale import server_clock
from ticks_platform.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

INTERVAL = 10.0
"""Seconds between questions."""

_LONGEST_ANSWER = 1_000_000_000
"""Nanoseconds. A later answer does not tell the time."""


class DatabaseClock:
    """The clock of the server as its answers tell. For one thread."""

    def __init__(self) -> None:
        self._ask_at = 0.0

    def ask(self, cursor: Cursor) -> int | None:
        """By how many nanoseconds it is ahead of the clock that is never set.

        None if it was asked a moment ago, takes long to answer, or is on this machine: then it is no other clock.
        """
        if boottime() < self._ask_at:
            return None
        self._ask_at = boottime() + INTERVAL
        if not is_elsewhere(cursor.connection.fileno()):
            return None
        before = steady_ns()
        at = server_clock.now(cursor)
        after = steady_ns()
        return None if after - before > _LONGEST_ANSWER else to_nanoseconds(at) - (before + after) // 2


def is_elsewhere(descriptor: int) -> bool:
    """Whether a connection leads to another address than the one that it comes from, so to another machine."""
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family == socket.AF_UNIX:
            return False
        return bool(connection.getpeername()[0] != connection.getsockname()[0])
