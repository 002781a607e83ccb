"""How often the database may be asked: once a second on average, whatever the viewers do."""

from __future__ import annotations

INTERVAL = 1.0
"""Seconds between queries, on average."""

BURST = 4.0
"""Seconds by which what somebody waits for may be ahead of that; the polls after it make up for it."""

OVERDUE = 2.5
"""Seconds after which a poll does not wait for that any longer."""

SHARE = 4.0
"""Seconds of rest for each second that a query took: a slow database is asked less often, so that others have turns."""

LONGEST_REST = 1.5
"""Seconds; a database that is slow because it is busy is asked again soon."""


class Pace:
    """When the next query may begin. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._due = float("-inf")
        self._polled_at = float("-inf")

    def wait_of_request(self, now: float) -> float:
        """Seconds until a query that somebody waits for may begin."""
        return max(0.0, self._due - BURST - now)

    def wait_of_poll(self, now: float) -> float:
        """Seconds until the next poll may begin."""
        overdue_at = max(self._polled_at + OVERDUE, self._due - BURST - INTERVAL)
        return max(0.0, min(self._due, overdue_at) - now)

    def begin(self, now: float, *, queries: int = 1, is_poll: bool = False) -> None:
        """Count queries that begin now."""
        self._due = max(self._due, now) + queries * INTERVAL
        if is_poll:
            self._polled_at = now

    def end(self, now: float, seconds: float) -> None:
        """A query took this long."""
        self._due = max(self._due, now + min(LONGEST_REST, SHARE * seconds))
