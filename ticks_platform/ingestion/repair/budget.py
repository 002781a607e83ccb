"""How often a provider's history may be asked: kept in the database, so that no restart gives it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

MINUTE = 60.0
"""Seconds in which the requests of a minute are counted."""

_SLACK = 0.02
"""The part of a minute that is waited longer: requests do not travel equally fast."""

_DAY = 86_400.0
_KEPT = "3 days"


class Budget(NamedTuple):
    """What one account may do; None is no limit."""

    account: str
    """Provider and name of the key's variable: feeds that share a key share its limits."""
    per_minute: int | None
    per_day: int | None
    minute: float = MINUTE

    def reserve(self, cursor: Cursor, *, repair_id: int, owner: str) -> int | None:
        """Count a request that is about to be made, and return its number; None when it has to wait."""
        # Of two feeds with one key, the second to ask sees what the first has counted.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"repair budget {self.account}",))
        if self.wait(cursor) > 0:
            return None
        cursor.execute(
            "INSERT INTO ticks_platform.feed_repair_request (account, repair_id, owner, at) "
            "VALUES (%s, %s, %s, clock_timestamp()) RETURNING request_id",
            (self.account, repair_id, owner),
        )
        (request_id,) = cursor.fetchone() or (0,)
        return int(request_id)

    def wait(self, cursor: Cursor) -> float:
        """Seconds until a request may be made."""
        windows = ((self.per_minute, self.minute * (1 + _SLACK)), (self.per_day, _DAY))
        waits = [self._window(cursor, limit, seconds) for limit, seconds in windows if limit is not None]
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM max(pause_until) - clock_timestamp()), 0)::double precision "
            "FROM ticks_platform.feed_repair_request WHERE account = %s",
            (self.account,),
        )
        (pause,) = cursor.fetchone() or (0.0,)
        return max(0.0, float(pause), *waits)

    def _window(self, cursor: Cursor, limit: int, seconds: float) -> float:
        """How long until fewer than `limit` requests lie in the last so many seconds."""
        cursor.execute(
            """
            SELECT extract(epoch FROM at + make_interval(secs => %(seconds)s) - clock_timestamp())::double precision
            FROM ticks_platform.feed_repair_request
            WHERE account = %(account)s AND at > clock_timestamp() - make_interval(secs => %(seconds)s)
            ORDER BY at DESC OFFSET %(limit)s - 1 LIMIT 1
            """,
            {"account": self.account, "seconds": seconds, "limit": limit},
        )
        row = cursor.fetchone()
        return float(row[0]) if row else 0.0

    def note(self, cursor: Cursor, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        """Write what came of a request; `pause` is for how many seconds the provider wants no other one."""
        cursor.execute(
            "UPDATE ticks_platform.feed_repair_request SET outcome = %s, "
            "pause_until = clock_timestamp() + make_interval(secs => %s) WHERE request_id = %s",
            (outcome, pause, request_id),
        )


def spent(cursor: Cursor, owner: str) -> int:
    """How many requests an owner has made."""
    cursor.execute("SELECT count(*) FROM ticks_platform.feed_repair_request WHERE owner = %s", (owner,))
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def forget_old(cursor: Cursor) -> None:
    """Drop what no limit asks for any more."""
    cursor.execute(
        "DELETE FROM ticks_platform.feed_repair_request WHERE at < now() - %s::interval AND "
        "(pause_until IS NULL OR pause_until < now())",
        (_KEPT,),
    )
