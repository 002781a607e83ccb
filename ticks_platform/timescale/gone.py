"""Rows that the account counted and that are gone, or not as they were loaded: how that is found and declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.errors import ActionRequiredError
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

TIME_COLUMNS = {
    "stocks_real_time": "time",
    "stock_quotes": "time",
    "stock_aggregates": "start_time",
    "tick_correction": "time",
    "trading_halt": "time",
    "official_price": "time",
}
"""The tables that the account counts, and the column that it counts them by."""

_COUNTED_BY_FEED = {"official_price"}

HOUR = timedelta(hours=1)

_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=timezone.utc), datetime(9000, 1, 1, tzinfo=timezone.utc)


class NotCountedError(ActionRequiredError):
    """The account does not count this table, or not in this time."""


class Hour(NamedTuple):
    """A feed's hour whose rows are not those that the account expects."""

    feed: str
    hour: datetime
    rows: int
    """How many are gone; below zero: how many that had been declared gone are there again; zero: they were changed."""
    fingerprint: Decimal | None
    """That of what is there, of ticks."""


class Gone(NamedTuple):
    """What is gone or was changed of a table in a time, and was not declared."""

    table: str
    hours: Sequence[Hour]

    @property
    def rows(self) -> int:
        """Rows that are gone, less those that are there again."""
        return sum(each.rows for each in self.hours)

    @property
    def begins_at(self) -> datetime | None:
        """The begin of the first hour."""
        return min((each.hour for each in self.hours), default=None)

    @property
    def ends_at(self) -> datetime | None:
        """The end of the last hour."""
        return max((each.hour + HOUR for each in self.hours), default=None)

    def rows_by_feed(self) -> dict[str, int]:
        """Rows that are gone, by feed."""
        found: Counter[str] = Counter()
        for each in self.hours:
            found[each.feed] += each.rows
        return dict(found)

    def lines(self, *, done: bool) -> list[str]:
        """What was declared, or would be, in words."""
        if not self.hours:
            return [f"{self.table}: nothing is gone or changed that was not declared or dropped by retention"]
        assert self.begins_at is not None
        assert self.ends_at is not None
        feeds = ", ".join(f"{feed}: {number:,}" for feed, number in sorted(self.rows_by_feed().items()))
        what = f"{self.rows:,} rows from {self.begins_at:%Y-%m-%d %H:%M} to {self.ends_at:%Y-%m-%d %H:%M} UTC ({feeds})"
        changed = sum(not each.rows for each in self.hours)
        other = f"; in {changed:,} h ticks were changed: what is there counts" if changed else ""
        return [f"{self.table}: {'declared' if done else 'would be declared'} gone: {what}{other}"]


def find(cursor: Cursor, table: str, *, since: datetime | None = None, until: datetime | None = None) -> Gone:
    """What is gone or was changed of a table and was not declared, by whole hours; reads its rows of that time.

    Times without a zone are UTC. Raises NotCountedError.
    """
    column = TIME_COLUMNS.get(table)
    if column is None:
        raise NotCountedError(f"the account does not count {table}, but {', '.join(TIME_COLUMNS)}")
    begins_at = _utc(since or _FIRST)
    ends_at = _utc(until or _LAST)
    first = begins_at.replace(minute=0, second=0, microsecond=0)
    last = ends_at.replace(minute=0, second=0, microsecond=0)
    last += HOUR if last < ends_at else timedelta(0)
    if first >= last:
        raise NotCountedError(f"nothing lies between {begins_at:%Y-%m-%d %H:%M} and {ends_at:%Y-%m-%d %H:%M} UTC")
    names = {"table": sql.Identifier(table), "destination": sql.Literal(table), "time": sql.Identifier(column)}
    if table in _COUNTED_BY_FEED:
        query = sql_files.compose("queries/ledger/find_gone_by_feed.sql", **names)
    else:
        # Only ticks have fingerprints.
        fingerprint = sql.SQL(
            sql_files.read("queries/ledger/fingerprint.sql") if table == "stocks_real_time" else "NULL::numeric"
        )
        query = sql_files.compose("queries/ledger/find_gone.sql", fingerprint=fingerprint, **names)
    cursor.execute(query, {"begins_at": first, "ends_at": last})
    return Gone(table, [Hour(*row) for row in cursor.fetchall()])


def declare(
    cursor: Cursor,
    table: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    declared_by: str,
    reason: str,
) -> Gone:
    """Declare what is gone of a table, in the cursor's transaction; returns what was declared.

    Loaders wait while the hours that differ are counted once more. Raises NotCountedError.
    """
    found = find(cursor, table, since=since, until=until)
    if not found.hours:
        return found
    # A chunk that was created after the query was planned is not seen by it, though its hours are.
    cursor.execute("LOCK TABLE ticks_platform.feed_hour IN SHARE ROW EXCLUSIVE MODE")
    found = find(cursor, table, since=found.begins_at, until=found.ends_at)
    if found.hours:
        parameters = {
            "destination": table,
            "feeds": [each.feed for each in found.hours],
            "hours": [each.hour for each in found.hours],
            "numbers": [each.rows for each in found.hours],
            "fingerprints": [each.fingerprint for each in found.hours],
            "declared_by": declared_by,
            "reason": reason,
        }
        if table == "stocks_real_time":
            cursor.execute(sql_files.read("queries/ledger/end_proofs.sql"), parameters)
        cursor.execute(sql_files.read("queries/ledger/declare_gone.sql"), parameters)
    return found


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
