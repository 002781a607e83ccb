"""Gaps and what repairs them: which can be asked for by now, and which are closed by what was fetched.

A gap is an interval of arrival, and a provider is asked by event time: its events lie in an interval that is wider by a
margin, and earlier where the feed is streamed with a delay. Trades in the margin that are known already are duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.feeds.history import History
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.repair.ranges import Interval, Stretch, joined
from ticks_platform.intervals import subtract
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import EPOCH, floor

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

CONNECTION = 0
"""The connection of repaired frames in the ledger; those of a feed's sockets count from 1."""

_MINUTE = timedelta(minutes=1)

_ROWS = {
    "trades": "queries/repair/repaired_ticks_in_range.sql",
    "bars": "queries/repair/bars_in_range.sql",
}
"""What counts the rows that are there because of repairs, by kind of history."""


class OpenGap(NamedTuple):
    """A row of feed_gap that is open and over."""

    gap_id: int
    symbol: str
    begin: datetime
    end: datetime


class Limits(NamedTuple):
    """Of what age events can be asked for."""

    youngest: timedelta
    oldest: timedelta


class Settled(NamedTuple):
    """What became of gaps."""

    repaired: int = 0
    unrepairable: int = 0
    rows: int = 0
    """Rows that lie in the repaired ones because of the repair."""
    left: int = 0
    """Open ones that remain."""


def needed(gap: OpenGap, history: History) -> Stretch:
    """In what event time a gap's events lie; of bars, the minutes that it touches."""
    lag, margin = timedelta(seconds=history.lag), timedelta(seconds=history.margin)
    begin, end = gap.begin - lag - margin, gap.end - lag + margin
    if history.kind == "bars":
        begin, end = minute(begin), minute(end + _MINUTE - timedelta(microseconds=1))
    return Stretch(gap.symbol, begin, end)


def minute(at: datetime) -> datetime:
    """The begin of a minute."""
    return floor(at, _MINUTE)


def open_gaps(cursor: Cursor, feed: str) -> list[OpenGap]:
    """The gaps of a feed that are open and over, oldest first."""
    cursor.execute(sql_files.read("queries/repair/open_gaps.sql"), {"feed": feed})
    return [OpenGap(*row) for row in cursor.fetchall()]


def ripe(cursor: Cursor, feed: str, history: History, limits: Limits, folder: Path) -> list[OpenGap]:
    """The open gaps that can be asked for by now.

    Of trades, that is when all is loaded that came by the feed's own sockets in twice the margin after the gap: what a
    loader has still before it does not know what a repair has stored meanwhile, and would store it a second time, but
    for what is so late that it looks it up (see `duplicate_trades.LATE`). What is asked for happened by one margin
    after the gap, and comes within another.
    """
    gaps = open_gaps(cursor, feed)
    if not gaps:
        return []
    cursor.execute("SELECT clock_timestamp()")
    (now,) = cursor.fetchone() or (None,)
    assert now is not None
    loaded = now if history.kind == "bars" else loaded_until(cursor, feed, folder, now=now)
    margin = timedelta(seconds=history.margin)
    return [gap for gap in gaps if needed(gap, history).end + limits.youngest <= now and gap.end + 2 * margin <= loaded]


def loaded_until(cursor: Cursor, feed: str, folder: Path, *, now: datetime) -> datetime:
    """Until when all that arrived by a feed's sockets is loaded: until `now` if nothing waits in its journals here."""
    journals = [
        path
        for path in folder.glob(f"{feed}*.sqlite3")
        if path.name.partition(".")[0] == feed and ".damaged-" not in path.name
    ]
    if journals and all(_is_loaded(cursor, path) for path in journals):
        return now
    cursor.execute(
        "SELECT max(last_received_at) FROM ticks_platform.feed_ledger WHERE feed = %s AND connection <> %s",
        (feed, CONNECTION),
    )
    (until,) = cursor.fetchone() or (None,)
    return until or EPOCH


def _is_loaded(cursor: Cursor, path: Path) -> bool:
    try:
        with journal_view(path) as journal:
            cursor.execute(
                "SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_id = %s", (journal.journal_id,)
            )
            row = cursor.fetchone()
            return not journal.waiting_after(row[0] if row else 0).frames
    except JournalError:
        return False


def give_up_old(cursor: Cursor, feed: str, limits: Limits) -> int:
    """Settle the open gaps that the provider's history does not reach; returns how many."""
    days = limits.oldest / timedelta(days=1)
    return _settle(
        cursor,
        "unrepairable",
        f"it is older than {days:g} days, and the provider's history does not reach it (give_up_after_days)",
        "feed = %(feed)s AND ends_at < now() - %(oldest)s::interval",
        {"feed": feed, "oldest": limits.oldest},
    )


def give_up_unknown(cursor: Cursor, feed: str, history: History) -> int:
    """Settle the open gaps that began before the provider's history does; returns how many."""
    since = EPOCH + timedelta(seconds=history.since)
    return _settle(
        cursor,
        "unrepairable",
        f"the provider's history begins at {since:%Y-%m-%d %H:%M:%S} UTC only, as that of a stand-in that was started",
        "feed = %(feed)s AND ends_at IS NOT NULL AND begins_at < %(since)s",
        {"feed": feed, "since": since},
    )


def give_up_all(cursor: Cursor, feed: str, reason: str) -> int:
    """Settle all open gaps of a feed of which there is no history; returns how many."""
    return _settle(cursor, "unrepairable", reason, "feed = %(feed)s AND ends_at IS NOT NULL", {"feed": feed})


def _settle(
    cursor: Cursor, state: str, detail: str, condition: str, values: Mapping[str, object], rows: int = 0
) -> int:
    """Settle the open gaps that meet a condition; returns how many."""
    query = sql_files.compose("queries/repair/settle_gaps.sql", condition=sql.SQL(condition))
    cursor.execute(query, {"state": state, "detail": detail, "rows": rows, **values})
    return cursor.rowcount


def wanted(gaps: Sequence[OpenGap], history: History) -> list[Stretch]:
    """What to ask for, for these gaps."""
    return joined([needed(gap, history) for gap in gaps], timedelta(seconds=history.joins_within))


def settle(cursor: Cursor, feed: str, history: History) -> Settled:
    """Close the open gaps for which all is loaded, and those that cannot be repaired; the candles are up to date."""
    gaps = open_gaps(cursor, feed)
    loaded, failed = _fetched(cursor, feed, history)
    settled = Settled()
    for gap in gaps:
        stretch = needed(gap, history)
        interval = (stretch.begin, stretch.end)
        condition, values = "gap_id = %(gap_id)s", {"gap_id": gap.gap_id}
        if not subtract(interval, loaded.get(gap.symbol, [])):
            rows = _rows(cursor, feed, history, stretch)
            what = "trades" if history.kind == "trades" else "the provider's bars; the ticks are lost"
            if _settle(cursor, "repaired", f"repaired by {rows} {what}", condition, values, rows):
                settled = settled._replace(repaired=settled.repaired + 1, rows=settled.rows + rows)
            continue
        reason = next(
            (error for begin, end, error in failed.get(gap.symbol, []) if begin < stretch.end and end > stretch.begin),
            None,
        )
        if reason is None:
            settled = settled._replace(left=settled.left + 1)
        elif _settle(cursor, "unrepairable", reason, condition, values):
            settled = settled._replace(unrepairable=settled.unrepairable + 1)
    cursor.execute(sql_files.read("queries/repair/mark_ranges_done.sql"), {"feed": feed})
    return settled


def _fetched(
    cursor: Cursor, feed: str, history: History
) -> tuple[dict[str, list[Interval]], dict[str, list[tuple[datetime, datetime, str]]]]:
    """By symbol, where all is loaded; and what has failed and is not wanted again, with the reason."""
    parameters = {"feed": feed, "kind": history.kind}
    cursor.execute(sql_files.read("queries/repair/fetched_and_failed_ranges.sql"), parameters)
    loaded: dict[str, list[Interval]] = {}
    failed: dict[str, list[tuple[datetime, datetime, str]]] = {}
    for symbol, begin, end, state, error in cursor.fetchall():
        if state in ("loaded", "done"):
            loaded.setdefault(symbol, []).append((begin, end))
        elif state == "failed":
            failed.setdefault(symbol, []).append((begin, end, error))
    return loaded, failed


def _rows(cursor: Cursor, feed: str, history: History, stretch: Stretch) -> int:
    """Rows in a stretch that are there because of repairs: ticks by the number of their journal, or all bars."""
    cursor.execute(sql_files.read(_ROWS[history.kind]), {"feed": feed, **stretch._asdict()})
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def touched(cursor: Cursor, feed: str) -> list[Interval]:
    """The UTC days of whose ticks some were fetched, and whose candles are not known to be up to date."""
    cursor.execute(sql_files.read("queries/repair/days_to_refresh.sql"), {"feed": feed})
    return [(begin, end) for begin, end in cursor.fetchall()]


class Totals(NamedTuple):
    """How a feed's repair stands."""

    requests: int
    """In the last 24 hours."""
    left: int
    """Ranges that are not fetched to their end."""
    trouble: str
    """Of the range that was in trouble last and is not done; empty when none is."""


def totals(cursor: Cursor, feed: str) -> Totals:
    """How the repair of a feed stands."""
    cursor.execute(sql_files.read("queries/repair/totals.sql"), {"feed": feed})
    return Totals(*(cursor.fetchone() or (0, 0, "")))
