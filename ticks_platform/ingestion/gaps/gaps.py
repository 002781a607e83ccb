"""Computes the gaps of a feed and stores them in `feed_gap`.

A gap is time in which a symbol was configured, its provider sends, and it was not covered. Only symbols whose coverage
or settings changed are computed again, from the first change on, so the cost does not grow with the history. The state
of a repaired or ignored gap is never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.calendars import Calendar, calendar
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.gaps import killed_coverage
from ticks_platform.ingestion.gaps.insert_by_symbol import date_wanted
from ticks_platform.ingestion.transactions import Transactions
from ticks_platform.intervals import subtract
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import FAILURES
from ticks_platform.timestamps import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

FIRST_SUBSCRIPTION = 10_000_000
"""Microseconds that the first subscription to a symbol may take without being a gap."""

COVERAGE_KEPT = timedelta(days=7)
"""How long coverage is kept after its end; the gaps computed from it stay."""

_FORGET_LIMIT = 50_000
"""Rows of coverage that one transaction deletes at most."""

_FOREVER = 1 << 62


class Span(NamedTuple):
    """An interval of coverage, or without. Times are microseconds since the Unix epoch; an end may be _FOREVER."""

    begin: int
    end: int
    ended_by: str


class ConfiguredSpan(NamedTuple):
    """An interval in which a symbol was configured in feeds.yaml. Where its hours changed, two of them touch."""

    begin: int
    end: int
    calendar: Calendar
    """The provider's sending hours."""
    refusal: str | None


class _Configured(NamedTuple):
    """Spans that touch: the symbol was configured all the time."""

    begin: int
    end: int
    spans: list[ConfiguredSpan]

    @property
    def refusal(self) -> str | None:
        return self.spans[-1].refusal

    def sessions(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of an interval in which the provider sends, by the hours that were valid at the time."""
        found: list[tuple[int, int]] = []
        for span in self.spans:
            first, last = max(begin, span.begin), min(end, span.end)
            for opens, closes in span.calendar.sessions(first / 1e6, last / 1e6) if first < last else ():
                part = max(first, round(opens * 1e6)), min(last, round(closes * 1e6))
                if found and found[-1][1] == part[0]:
                    part = found.pop()[0], part[1]
                if part[0] < part[1]:
                    found.append(part)
        yield from found


class KnownGap(NamedTuple):
    """A row of feed_gap."""

    begin: int
    end: int
    gap_id: int
    state: str
    cause: str


class Gap(NamedTuple):
    """A computed gap; the end is _FOREVER while it lasts."""

    begin: int
    end: int
    cause: str
    detail: str = ""


class Updated(NamedTuple):
    """Numbers of rows that an update changed."""

    symbols: int
    """Symbols that were computed."""
    found: int
    changed: int
    removed: int


class _Changes(NamedTuple):
    found: list[tuple[str, Gap]]
    changed: list[tuple[int, Gap]]
    removed: list[int]


def update(cursor: Cursor, feed: str, *, now: datetime) -> Updated:
    """Compute the gaps of a feed up to `now`, and store them, in the caller's transaction.

    May be called by any process at any time.
    """
    held = leases.status(cursor, feed)
    if held is None:
        return Updated(0, 0, 0, 0)
    # The loader of the feed and other callers take the same lock first.
    cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (feed,))
    if not held.released and not held.is_alive:
        killed_coverage.close_abandoned(cursor, feed, until_epoch=held.epoch)
    ended = held.epoch - 1 if held.is_alive and not held.released else held.epoch
    parameters = {"feed": feed, "epoch": ended}
    cursor.execute(sql_files.read("queries/gaps/deny_future_coverage.sql"), parameters)
    cursor.execute(sql_files.read("queries/gaps/delete_empty_coverage.sql"), {"feed": feed})
    cursor.execute(sql_files.read("queries/gaps/mark_coverage_computed.sql"), {"feed": feed})
    first: dict[str, datetime] = {}
    for symbol, begins_at in cursor.fetchall():
        first[symbol] = min(begins_at, first.get(symbol, begins_at))
    date_wanted(cursor, feed, list(first), ended=ended)
    arguments: dict[str, Any] = {"feed": feed, "symbols": list(first), "begins": list(first.values())}
    cursor.execute(sql_files.read("queries/gaps/symbols_to_compute.sql"), arguments)
    since = {symbol: (moment, ended_by) for symbol, moment, ended_by in cursor.fetchall()}
    if not since:
        return Updated(0, 0, 0, 0)
    arguments = {"feed": feed, "symbols": list(since), "since": [moment for moment, _ in since.values()]}
    cursor.execute(sql_files.read("queries/gaps/inputs.sql"), arguments)
    changes = _Changes([], [], [])
    until = to_microseconds(now)
    for symbol, rows in groupby(cursor.fetchall(), key=lambda row: row[1]):
        covered: list[Span] = []
        configured: list[ConfiguredSpan] = []
        known: list[KnownGap] = []
        for kind, _, begin, end, word, detail, gap_id in rows:
            times = (to_microseconds(begin), _FOREVER if end is None else to_microseconds(end))
            if kind == "coverage":
                covered.append(Span(*times, word or ""))
            elif kind == "wanted":
                configured.append(ConfiguredSpan(*times, calendar(word), detail))
            else:
                known.append(KnownGap(*times, gap_id, word, detail))
        moment, ended_by = since[symbol]
        begin = 0 if moment is None else to_microseconds(moment)
        found = list(compute(covered, configured, since=begin, until=until, ended_by=ended_by))
        _compare(symbol, found, [gap for gap in known if gap.begin >= begin], changes)
    _write(cursor, feed, changes)
    return Updated(len(since), len(changes.found), len(changes.changed), len(changes.removed))


class GapUpdates:
    """Recomputes a feed's gaps for its loader. Ticks come first: failures are retried ever later."""

    def __init__(self, transactions: Transactions, feed: str, now: Callable[[], int]) -> None:
        """`now` returns the right time, in nanoseconds since the Unix epoch."""
        self._transactions = transactions
        self._feed = feed
        self._now = now
        self._backoff = Backoff(base=2.0, cap=60.0)
        self._due_at = 0.0

    def update(self) -> bool:
        """Recompute the gaps; returns whether they are up to date."""
        if boottime() < self._due_at:
            return False
        try:
            now = from_microseconds(self._now() // 1000)
            self._transactions.once(lambda cursor: update(cursor, self._feed, now=now))
        except FAILURES as error:
            self._transactions.close()
            self._due_at = boottime() + self._backoff.next_delay()
            logger.warning("feed %s: cannot compute its gaps, will retry: %s", self._feed, str(error).strip())
            return False
        self._backoff.reset()
        return True


def forget_old(cursor: Cursor, feed: str, *, now: datetime) -> None:
    """Delete coverage that ended more than COVERAGE_KEPT ago, which a flapping connection makes much of.

    No gap changes.
    """
    # Locks out `update`.
    cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (feed,))
    cursor.execute(
        sql_files.read("queries/gaps/forget_old_coverage.sql"),
        {"feed": feed, "before": now - COVERAGE_KEPT, "limit": _FORGET_LIMIT},
    )


def compute(
    covered: Iterable[Span], configured: Iterable[ConfiguredSpan], *, since: int, until: int, ended_by: str | None
) -> Iterator[Gap]:
    """The gaps of one symbol from `since` to `until`, in order; `ended_by` is what ended the coverage before that."""
    covered, periods = sorted(covered), _touching(configured)
    for hole in _holes(covered, since=since, ended_by=ended_by):
        for span in periods:
            begin, end = max(hole.begin, span.begin), min(hole.end, span.end)
            if begin >= min(end, until):
                continue
            is_first = hole.begin < span.begin or not hole.ended_by
            cause, detail = "not_subscribed" if is_first else hole.ended_by, ""
            if is_first and begin == span.begin:
                # Also coverage without data: what its connection missed is known to be missing.
                first = next((each for each in covered if each.begin >= begin), None)
                if first is not None and first.begin - begin < FIRST_SUBSCRIPTION:
                    begin, cause = first.begin, first.ended_by or cause
                if begin >= end or (first is None and min(end, until) - begin < FIRST_SUBSCRIPTION):
                    continue
            if span.refusal is not None and (end == _FOREVER or is_first):
                cause, detail = "refused", span.refusal
            # A known end may be in the future, where coverage began by a clock that is ahead of this one.
            for opens, closes in span.sessions(begin, until if end == _FOREVER else end):
                continues = end == _FOREVER and closes == until
                yield Gap(opens, _FOREVER if continues else closes, cause, detail)


def _touching(configured: Iterable[ConfiguredSpan]) -> list[_Configured]:
    found: list[_Configured] = []
    for span in sorted(configured, key=lambda span: span[:2]):
        # Owners' clocks that disagree make them overlap; no moment may be in two gaps.
        span = span._replace(begin=max(span.begin, found[-1].end if found else span.begin))
        if span.begin >= span.end:
            continue
        if found and found[-1].end == span.begin:
            earlier = found.pop()
            found.append(_Configured(earlier.begin, span.end, [*earlier.spans, span]))
        else:
            found.append(_Configured(span.begin, span.end, [span]))
    return found


def _holes(covered: Iterable[Span], *, since: int, ended_by: str | None) -> Iterator[Span]:
    """The intervals without coverage, with what ended the coverage before; the last one has no end."""
    end, by = since, ended_by or ""
    for span in covered:
        if span.begin == span.end:
            continue  # coverage without data proves nothing
        if span.begin > end:
            yield Span(end, span.begin, by)
        if span.end >= end:
            end, by = span.end, span.ended_by or by
    if end < _FOREVER:
        yield Span(end, _FOREVER, by)


def _compare(symbol: str, found: Sequence[Gap], known: Sequence[KnownGap], changes: _Changes) -> None:
    """Add the changes that turn the known gaps of a symbol into those that were found."""
    # A closed gap stays as it is; only time outside of it is an open gap.
    closed = [gap for gap in known if gap.state != "open" and gap.end != _FOREVER]
    upcoming = [
        gap._replace(begin=begin, end=end)
        for gap in found
        for begin, end in subtract((gap.begin, gap.end), [(other.begin, other.end) for other in closed])
    ]
    open_gaps = {gap.begin: gap for gap in known if gap not in closed}
    for gap in upcoming:
        # The same gap, or one that it overlaps: its begin moves when more of a journal is loaded.
        old = open_gaps.get(gap.begin) or next(
            (other for other in open_gaps.values() if other.begin < gap.end and gap.begin < other.end), None
        )
        if old is None:
            changes.found.append((symbol, gap))
            continue
        del open_gaps[old.begin]
        cause = gap.cause if old.cause == "not_subscribed" or old.begin != gap.begin else old.cause
        if (old.begin, old.end, old.cause) != (gap.begin, gap.end, cause):
            changes.changed.append((old.gap_id, gap._replace(cause=cause)))
    changes.removed.extend(gap.gap_id for gap in open_gaps.values())


def _write(cursor: Cursor, feed: str, changes: _Changes) -> None:
    if changes.removed:
        cursor.execute("DELETE FROM ticks_platform.feed_gap WHERE gap_id = ANY (%s)", (changes.removed,))
    if changes.changed:
        execute_values(
            cursor,
            sql_files.read("queries/gaps/change_gaps.sql"),
            [(gap_id, from_microseconds(gap.begin), _end(gap.end), gap.cause) for gap_id, gap in changes.changed],
            template="(%s, %s, %s::timestamptz, %s)",
            page_size=1000,
        )
    if changes.found:
        execute_values(
            cursor,
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, detail, state) VALUES %s",
            [
                (
                    feed,
                    symbol,
                    from_microseconds(gap.begin),
                    _end(gap.end),
                    gap.cause,
                    gap.detail,
                    "ignored" if gap.cause == "switched_off" else "open",
                )
                for symbol, gap in changes.found
            ],
            page_size=1000,
        )


def _end(microseconds: int) -> datetime | None:
    return None if microseconds == _FOREVER else from_microseconds(microseconds)
