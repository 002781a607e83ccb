"""When each symbol was listened to, out of the changes of its feed's connections; written with them.

A symbol is covered from the acknowledgement of the channels that bring its ticks, until the last moment up to which
all that was sent to its connection has surely arrived. What is in doubt is not covered: an interval that is too short
makes a gap in which nothing is missing, one that is too long hides what is.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from psycopg2.extras import execute_values

from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, HeardAgain, Silent, Unsubscribed
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes, Period
from ticks_platform.ingestion.lease import Lease
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


IN_FLIGHT = 250_000_000
"""Nanoseconds that a frame may be on its way: one that is lost with its connection was sent before the last that came
was stamped, by as much as that. Coverage ends so much earlier."""

_IN_FLIGHT = timedelta(microseconds=IN_FLIGHT // 1000)

_ENDS = {State.BACKING_OFF: "disconnected", State.REFUSED: "refused", State.CLOSED: "stopped"}
"""The states in which a connection is over, and what that ends coverage by."""


class Wanted(NamedTuple):
    """What feeds.yaml says from some moment on."""

    at: int
    """Nanoseconds since the Unix epoch."""
    calendars: dict[str, str]
    """The calendar of each symbol, as the ticks call it."""


class Coverage:
    """The coverage of one feed under one lease. Safe from any thread."""

    def __init__(
        self, connector: Connector, feed: FeedSettings, *, at: int, silence: SilenceDetector | None = None
    ) -> None:
        """`at` is since when these settings hold, in nanoseconds since the Unix epoch. `silence` knows which symbols
        were silent already when their connection ended.
        """
        self._connector = connector
        self._silence = silence
        self._lock = threading.Lock()
        self._acknowledged: dict[int, dict[str, int]] = {}
        # By connection: each channel with the time of its acknowledgement.
        self._states: dict[int, State] = {}
        self._stalled: dict[int, set[str]] = {}
        # By connection: its symbols, which are covered again from its next data on.
        self._unheard: set[str] = set()
        # Whose connection was given up while it was stalled: the provider acknowledged, and sent nothing.
        self._silent: set[str] = set()
        self._open: dict[tuple[int, str], int] = {}
        self._periods: deque[Period] = deque()
        self._notes: CoverageNotes | None = None
        self._noted = self._stored_notes = 0
        self._refusals: dict[str, str | None] = {}
        self._symbol_of: dict[str, str] = {}
        self._channels: dict[str, list[frozenset[str]]] = {}
        self._stored = 0
        self._stored_refusals: dict[str, str | None] = {}
        self._kept: Wanted | None = None
        self._on_its_way: Wanted | None = None
        self._wanted = self._want(feed, at)

    def keep(self, notes: CoverageNotes) -> None:
        """Note all changes from now on, until they are stored."""
        with self._lock:
            self._notes = notes
            self._note()

    def _note(self) -> None:
        if self._notes is not None and len(self._periods) > self._noted:
            self._notes.write(list(self._periods)[self._noted :])
            self._noted = len(self._periods)

    def adopt(self, cursor: Cursor, lease: Lease) -> None:
        """Store what earlier owners have noted and could not store any more; `adopted` tells that it is committed."""
        for epoch, periods in self._notes.left() if self._notes is not None else ():
            _store(cursor, lease._replace(epoch=epoch), periods)

    def adopted(self) -> None:
        """Forget what `adopt` has stored: it is committed."""
        if self._notes is not None:
            self._notes.forget_left()

    def follow(self, feed: FeedSettings, *, at: int) -> None:
        """Take over a changed list of symbols, before the connections do."""
        with self._lock:
            self._wanted = self._want(feed, at)
            gone = [key for key in self._open if key[1] not in self._channels]
            # The connection stays: what is on its way arrives.
            self._close(gone, at + IN_FLIGHT, "unsubscribed")
            self._silent.intersection_update(self._channels)
            self._unheard.intersection_update(self._channels)
            # What was given up has to be acknowledged anew, although nobody may say that it ended.
            for acknowledged in self._acknowledged.values():
                for channel in acknowledged.keys() - self._symbol_of.keys():
                    del acknowledged[channel]
            self._note()

    def _want(self, feed: FeedSettings, at: int) -> Wanted:
        connector = self._connector
        self._symbol_of.clear()
        self._channels.clear()
        for name in feed.symbol_names():
            symbol = storable(connector.symbol_of(name))
            self._symbol_of.update(dict.fromkeys(connector.channels(name), symbol))
            # Two names of feeds.yaml may bring the ticks of one symbol: any of them covers it.
            self._channels.setdefault(symbol, []).append(frozenset(connector.tick_channels(name)))
        return Wanted(at, {storable(symbol): calendar.name for symbol, calendar in feed.calendars().items()})

    def handle(self, change: Change, *, switched_off: bool = False) -> None:
        """Take note of what a change means; `switched_off` says why the feed is stopped, if it is."""
        with self._lock:
            self._handle_state(change, switched_off=switched_off)
            self._handle_notice(change)
            self._note()

    def _handle_state(self, change: Change, *, switched_off: bool) -> None:
        number = change.connection
        mine = [key for key in self._open if key[0] == number]
        if change.state in _ENDS:
            ended_by = "switched_off" if switched_off and change.state is State.CLOSED else _ENDS[change.state]
            self._end(mine, change.covered_until, ended_by)
            self._acknowledged.pop(number, None)
            self._states.pop(number, None)
            self._unheard |= self._stalled.pop(number, set())
            if change.state is State.REFUSED:
                self._refusals.update(dict.fromkeys(self._channels, storable(change.detail)))
            return
        before, self._states[number] = self._states.get(number), change.state
        if change.state is before:
            return  # a notice
        if change.state is State.STALLED:
            # All is asked for anew: until that is acknowledged, what still comes may end at any moment.
            self._end(mine, change.covered_until, "stalled")
            self._stalled.setdefault(number, set()).update(self._symbols(self._acknowledged.pop(number, ())))
        elif change.state is State.STREAMING:
            self._stalled.pop(number, None)
            symbols = self._symbols(self._acknowledged.get(number, ()))
            self._unheard.difference_update(symbols)
            self._cover(symbols, number, change.at)

    def _handle_notice(self, change: Change) -> None:
        number = change.connection
        match change.notice:
            case Acknowledged(channels):
                self._acknowledged.setdefault(number, {}).update(dict.fromkeys(channels, change.at))
                symbols = self._symbols(channels)
                if change.state is not State.STREAMING and not self._unheard.isdisjoint(symbols):
                    self._stalled.setdefault(number, set()).update(symbols)
                self._cover(symbols, number, change.at)
            case HeardAgain(channels, heard_by):
                self._silent.difference_update(self._symbols(channels))
                for channel in channels:
                    at = int(min(heard_by.get(channel, math.inf), change.at / 1e9) * 1e9)
                    self._cover(self._symbols((channel,)), number, at)
            case Silent(seconds, heard_after):
                self._forget(number, seconds)  # they are asked for anew
                for channel in seconds:
                    for symbol in self._symbols((channel,)):
                        self._silent.add(symbol)
                        end = int(heard_after.get(channel, 0.0) * 1e9)
                        self._close([key for key in self._open if key[1] == symbol], end, "silent")
            case Unsubscribed(channels):
                self._forget(number, channels)
                self._uncover(channels, change, "unsubscribed")
            case ChannelsFailed(reasons):
                self._forget(number, reasons)
                self._uncover(reasons, change, "refused")
                for channel, reason in reasons.items():
                    self._refusals.update(dict.fromkeys(self._symbols((channel,)), storable(reason)))

    def _symbols(self, channels: Iterable[str]) -> list[str]:
        """The symbols that these channels belong to, each once."""
        return list(dict.fromkeys(self._symbol_of[channel] for channel in channels if channel in self._symbol_of))

    def _forget(self, number: int, channels: Iterable[str]) -> None:
        acknowledged = self._acknowledged.get(number, {})
        for channel in channels:
            acknowledged.pop(channel, None)

    def _cover(self, symbols: Iterable[str], number: int, at: int) -> None:
        """Begin to cover those of the symbols of which nothing is missing, from `at` or from their acknowledgement."""
        if number in self._stalled:
            return
        acknowledged = self._acknowledged.get(number, {})
        for symbol in symbols:
            key = (number, symbol)
            if key in self._open or symbol in self._silent:
                continue
            since = [
                max(acknowledged[channel] for channel in channels)
                for channels in self._channels.get(symbol, ())
                if channels <= acknowledged.keys()
            ]
            if since:
                begin = self._open[key] = max(at, min(since))
                self._periods.append(Period(symbol, number, begin))
                self._refusals[symbol] = None

    def _uncover(self, channels: Iterable[str], change: Change, ended_by: str) -> None:
        """Close what is not acknowledged any more."""
        number = change.connection
        acknowledged = self._acknowledged.get(number, {}).keys()
        lost = [
            (number, symbol)
            for symbol in self._symbols(channels)
            if not any(needed <= acknowledged for needed in self._channels[symbol])
        ]
        self._close(lost, change.covered_until, ended_by)

    def _end(self, keys: Iterable[tuple[int, str]], until: int | None, ended_by: str) -> None:
        """Close what a connection has covered; symbols that had fallen silent before it ended, with their last ticks.

        That silence was too short to be noticed by itself, and may as well be by chance: it is in doubt.
        """
        for key in keys:
            heard = self._silence.fell_silent_before(key[1], until / 1e9) if self._silence and until else None
            if heard is None:
                self._close([key], until, ended_by)
            else:
                self._close([key], int(heard * 1e9), "silent")

    def _close(self, keys: Iterable[tuple[int, str]], until: int | None, ended_by: str) -> None:
        for key in keys:
            begin = self._open.pop(key, None)
            if begin is not None:
                number, symbol = key
                self._periods.append(Period(symbol, number, begin, max(begin, (until or 0) - IN_FLIGHT), ended_by))

    @property
    def waiting(self) -> bool:
        """Whether there is something to store."""
        return bool(self._periods or self._refusals) or self._wanted is not self._kept

    def store(self, cursor: Cursor, lease: Lease) -> None:
        """Store what has changed, in a transaction of the loader's; `stored` tells that it is committed."""
        with self._lock:
            periods, refusals = list(self._periods), dict(self._refusals)
            wanted = self._wanted
            self._stored_notes = self._notes.last if self._notes is not None else 0
        if wanted is not self._kept:
            keep_wanted(cursor, lease.feed, wanted)
        if periods:
            last = _store(cursor, lease, periods)
            _find_last_ticks(cursor, lease, [period for period in last if period.ended_by == "silent"])
        if refusals:
            execute_values(
                cursor,
                sql_files.read("queries/gaps/record_refusals.sql"),
                [(lease.feed, *item) for item in refusals.items()],
                template="(%s, %s, %s::text)",
                page_size=1000,
            )
        self._stored, self._stored_refusals, self._on_its_way = len(periods), refusals, wanted

    def stored(self) -> None:
        """Forget what `store` has stored: it is committed."""
        with self._lock:
            for _ in range(self._stored):
                self._periods.popleft()
            self._noted = max(0, self._noted - self._stored)
            if self._stored and self._notes is not None:
                self._notes.forget(self._stored_notes)
            for symbol, refusal in self._stored_refusals.items():
                if self._refusals.get(symbol, "") == refusal:
                    del self._refusals[symbol]
        if self._on_its_way is not None:
            self._kept = self._on_its_way
        self._stored, self._stored_refusals = 0, {}


def _store(cursor: Cursor, lease: Lease, periods: Sequence[Period]) -> Collection[Period]:
    """Store the last word on each period, and return those words."""
    # An INSERT … ON CONFLICT cannot take one twice.
    last = {(period.symbol, period.connection, period.begins_at): period for period in periods}
    execute_values(
        cursor,
        sql_files.read("queries/gaps/record_coverage.sql"),
        [
            (
                lease.feed,
                period.symbol,
                from_nanoseconds(period.begins_at),
                None if period.ends_at is None else from_nanoseconds(period.ends_at),
                period.ended_by,
                lease.epoch,
                period.connection,
            )
            for period in last.values()
        ],
        page_size=1000,
    )
    return last.values()


def _find_last_ticks(cursor: Cursor, lease: Lease, silent: Sequence[Period]) -> None:
    """Prolong what a silence has ended, which is known by the second, to the last tick in the table.

    That one came before the silence: what came since is loaded after this.
    """
    if silent:
        arguments = {
            "feed": lease.feed,
            "epoch": lease.epoch,
            "symbols": [period.symbol for period in silent],
            "begins": [from_nanoseconds(period.begins_at) for period in silent],
            "in_flight": _IN_FLIGHT,
        }
        cursor.execute(sql_files.read("queries/gaps/extend_silent_coverage.sql"), arguments)


def keep_wanted(cursor: Cursor, feed: str, wanted: Wanted) -> None:
    """Note which symbols of a feed are wanted from now on, and which are no longer."""
    cursor.execute(
        sql_files.read("queries/gaps/record_wanted_symbols.sql"),
        {
            "feed": feed,
            "at": from_nanoseconds(wanted.at),
            "symbols": list(wanted.calendars),
            "calendars": list(wanted.calendars.values()),
        },
    )


def close_abandoned(cursor: Cursor, feed: str, *, until_epoch: int, ended_by: str = "killed") -> int:
    """End what owners up to this epoch have left open, with the last data of theirs that is loaded; returns how many.

    The caller knows that they do not listen any more. What waits in their journals makes it longer: see `prolong`.
    """
    arguments = {"feed": feed, "epoch": until_epoch, "ended_by": ended_by, "in_flight": _IN_FLIGHT}
    cursor.execute(sql_files.read("queries/gaps/close_abandoned_coverage.sql"), arguments)
    return cursor.rowcount


def prolong(cursor: Cursor, feed: str, last_data: Iterable[tuple[int, int, datetime | None]]) -> None:
    """Extend the coverage of owners that were killed, by data that has been loaded from their journals since.

    `last_data` holds epochs, connections, and when the last data of each arrived.
    """
    ends = [(feed, epoch, connection, at - _IN_FLIGHT) for epoch, connection, at in last_data if at is not None]
    if ends:
        execute_values(cursor, sql_files.read("queries/gaps/extend_killed_coverage.sql"), ends, page_size=1000)


def reopen(cursor: Cursor, lease: Lease) -> None:
    """Take back that this owner was taken for dead: it could not reach the database, and has listened all the while."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch}
    cursor.execute(sql_files.read("queries/gaps/reopen_coverage.sql"), parameters)
