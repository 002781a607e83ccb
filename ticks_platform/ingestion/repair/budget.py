"""Limits the requests to a provider's REST API. Requests are counted in the database, so a restart resets nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

MINUTE = 60.0
"""Seconds of the window in which the requests of a minute are counted."""

MAX_INITIAL_WAIT = 60.0
"""Seconds that a run may wait for its first request; if it would take longer, no run is due."""

_SLACK = 0.02
"""Fraction by which that window is longer, because requests do not travel equally fast."""

_DAY = 86_400.0
_KEPT = "3 days"


class Limited(Protocol):
    """An API of a provider, with the limits of the smallest plan; None where there is none."""

    requests_per_minute: int | None
    requests_per_day: int | None


class Budget(NamedTuple):
    """The limits of one account; None means no limit."""

    account: str
    """Provider and name of the key's environment variable: feeds that share a key share its limits."""
    per_minute: int | None
    per_day: int | None
    minute: float = MINUTE

    def reserve(self, cursor: Cursor, *, repair_id: int | None = None, owner: str, credits: int = 1) -> int | None:
        """Count a request that uses so many credits before it is made. Its number, or None if it has to wait."""
        # Serializes feeds that share a key: the second one sees the first one's request.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"repair budget {self.account}",))
        if self.wait(cursor, credits) > 0:
            return None
        parameters = {"account": self.account, "repair_id": repair_id, "owner": owner, "credits": credits}
        cursor.execute(sql_files.read("queries/repair/count_request.sql"), parameters)
        (request_id,) = cursor.fetchone() or (0,)
        return int(request_id)

    def allows(self, credits: int) -> bool:
        """Whether a request of so many credits can be made at all."""
        return all(limit is None or credits <= limit for limit in (self.per_minute, self.per_day))

    def wait(self, cursor: Cursor, credits: int = 1) -> float:
        """Seconds until the next request, of so many credits, is allowed."""
        windows = ((self.per_minute, self.minute * (1 + _SLACK)), (self.per_day, _DAY))
        waits = [self._window(cursor, limit, seconds, credits) for limit, seconds in windows if limit is not None]
        cursor.execute(sql_files.read("queries/repair/pause_left.sql"), {"account": self.account})
        (pause,) = cursor.fetchone() or (0.0,)
        return max(0.0, float(pause), *waits)

    def _window(self, cursor: Cursor, limit: int, seconds: float, credits: int) -> float:
        """Seconds until `credits` more keep the last `seconds` within `limit`."""
        parameters = {"account": self.account, "seconds": seconds, "limit": limit, "credits": credits}
        cursor.execute(sql_files.read("queries/repair/window_left.sql"), parameters)
        row = cursor.fetchone()
        return float(row[0]) if row else 0.0

    def record_outcome(self, cursor: Cursor, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        """Record the outcome of a request; `pause` is for how many seconds the provider accepts no other one."""
        parameters = {"request_id": request_id, "outcome": outcome, "pause": pause}
        cursor.execute(sql_files.read("queries/repair/record_outcome.sql"), parameters)


def of(feed: FeedSettings, api: Limited, *, minute: float = MINUTE) -> Budget:
    """The limits of a feed's requests: those of feeds.yaml, or of the provider's smallest plan."""
    settings = feed.repair
    return Budget(
        f"{feed.provider} {feed.api_key_env or feed.name}",
        settings.requests_per_minute or api.requests_per_minute,
        settings.requests_per_day or api.requests_per_day,
        minute,
    )


def count_requests(cursor: Cursor, owner: str) -> int:
    """Number of requests that an owner has made."""
    cursor.execute("SELECT count(*) FROM ticks_platform.feed_repair_request WHERE owner = %s", (owner,))
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def forget_old(cursor: Cursor) -> None:
    """Delete requests that no limit counts any more."""
    cursor.execute(sql_files.read("queries/repair/forget_old_requests.sql"), {"kept": _KEPT})
