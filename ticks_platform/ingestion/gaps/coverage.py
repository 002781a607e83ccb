"""Computes coverage, when each symbol was being received, from the changes of its feed's connections.

A symbol is covered from the acknowledgement of its tick channels until the last moment before which everything that was
sent to its connection has arrived for certain. Doubtful time is not covered: an interval that is too short makes a gap
in which nothing is missing, one that is too long hides missing data.

One module because all that ends or begins coverage changes the same intervals, under one lock.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.calendars import Calendar
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    ClockDoubt,
    HeardAgain,
    Refused,
    Silent,
    Unsubscribed,
)
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion.gaps import market_sessions
from ticks_platform.ingestion.gaps.coverage_notes import CoverageNotes, Period
from ticks_platform.ingestion.gaps.insert_by_symbol import (
    IN_FLIGHT,
    correct_configured_since,
    insert_by_symbol,
    store_earlier,
    store_periods,
)
from ticks_platform.ingestion.lease import Lease
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_ENDS = {State.BACKING_OFF: "disconnected", State.REFUSED: "refused", State.CLOSED: "stopped"}
"""The states that end a connection, with the value of `ended_by`."""


class ConfiguredSymbols(NamedTuple):
    """The symbols of feeds.yaml from some moment on."""

    at: int
    """Nanoseconds since the Unix epoch."""
    calendars: dict[str, str]
    """The calendar of each symbol's sending hours, named as the ticks name it."""
    wrong: tuple[int, ...] = ()
    """What `at` was taken for before, by a wrong clock."""
    since: float | None = None
    """The same moment by CLOCK_BOOTTIME; None if that is not known."""


class Coverage:
    """The coverage of one feed under one lease. Safe from any thread."""

    def __init__(
        self, connector: Connector, feed: FeedSettings, *, at: int, silence: SilenceDetector | None = None
    ) -> None:
        """`at` is since when these settings are valid, in nanoseconds since the Unix epoch. `silence` tells which
        symbols were silent when their connection ended.
        """
        self._connector = connector
        self._silence = silence
        self._lock = threading.Lock()
        self._acknowledged: dict[int, dict[str, int]] = {}
        # By connection: the time of each channel's acknowledgement.
        self._states: dict[int, State] = {}
        self._stalled: dict[int, set[str]] = {}
        # By connection: symbols that are covered again when the next data arrives.
        self._unheard: set[str] = set()
        # Symbols whose connection ended while it was stalled: the provider had acknowledged them, but sent nothing.
        self._silent: set[str] = set()
        self._open: dict[tuple[int, str], int] = {}
        # By connection and symbol: the begin of open intervals.
        self._refused: dict[int, list[str]] = {}
        # By connection: symbols that are covered again when an event is accepted.
        self._periods: deque[Period] = deque()
        self._notes: CoverageNotes | None = None
        self._noted = self._stored_notes = 0
        self._refusals: dict[str, str | None] = {}
        self._symbol_of: dict[str, str] = {}
        self._channels: dict[str, list[frozenset[str]]] = {}
        self._hours: dict[str, Calendar] = {}
        self._patience = feed.stale_after_seconds
        self._stored = 0
        self._stored_refusals: dict[str, str | None] = {}
        self._committed_symbols: ConfiguredSymbols | None = None
        self._stored_symbols: ConfiguredSymbols | None = None
        self._symbols = self._read_settings(feed, at)
        # Whether it was since the settings were read; then their time is right, or as wrong as before.
        self._clock_was_set = False

    def apply_settings(self, feed: FeedSettings, *, at: int) -> None:
        """Apply changed symbols; call it before the connections do."""
        with self._lock:
            self._symbols = self._read_settings(feed, at)
            self._clock_was_set = True
            gone = [key for key in self._open if key[1] not in self._channels]
            # The connection stays open, so what is in flight arrives.
            self._close(gone, at + IN_FLIGHT, "unsubscribed")
            self._silent.intersection_update(self._channels)
            self._unheard.intersection_update(self._channels)
            # A removed channel must be acknowledged again, although the provider may not confirm its removal.
            for acknowledged in self._acknowledged.values():
                for channel in acknowledged.keys() - self._symbol_of.keys():
                    del acknowledged[channel]
            self._write_notes()

    def _read_settings(self, feed: FeedSettings, at: int) -> ConfiguredSymbols:
        connector = self._connector
        self._symbol_of.clear()
        self._channels.clear()
        for name in feed.symbol_names():
            symbol = storable(connector.symbol_of(name))
            self._symbol_of.update(dict.fromkeys(connector.channels(name), symbol))
            # Two names in feeds.yaml may have the ticks of one symbol: either covers it.
            self._channels.setdefault(symbol, []).append(frozenset(connector.tick_channels(name)))
        self._hours = {storable(symbol): calendar for symbol, calendar in feed.sending_calendars().items()}
        calendars = {symbol: calendar.name for symbol, calendar in self._hours.items()}
        return ConfiguredSymbols(at, calendars, since=boottime())

    def handle(self, change: Change, *, switched_off: bool = False) -> None:
        """Handle a change of a connection's state; `switched_off` tells whether a stop is because it is disabled."""
        with self._lock:
            self._handle_state(change, switched_off=switched_off)
            self._handle_notice(change)
            self._write_notes()

    def _handle_state(self, change: Change, *, switched_off: bool) -> None:
        number = change.connection
        mine = [key for key in self._open if key[0] == number]
        if change.state is State.REFUSED or isinstance(change.notice, Refused):
            self._refusals.update(dict.fromkeys(self._channels, storable(change.detail)))
        if change.state in _ENDS:
            ended_by = "switched_off" if switched_off and change.state is State.CLOSED else _ENDS[change.state]
            self._end(mine, change, ended_by)
            self._acknowledged.pop(number, None)
            self._states.pop(number, None)
            self._unheard |= self._stalled.pop(number, set())
            return
        before, self._states[number] = self._states.get(number), change.state
        if change.state is before:
            return  # a notice
        if change.state is State.STALLED:
            # Everything is subscribed to again; until that is acknowledged, data may stop at any moment.
            self._end(mine, change, "stalled")
            self._stalled.setdefault(number, set()).update(self._symbols_of(self._acknowledged.pop(number, ())))
        elif change.state is State.STREAMING:
            self._stalled.pop(number, None)
            symbols = self._symbols_of(self._acknowledged.get(number, ()))
            self._unheard.difference_update(symbols)
            self._cover(symbols, number, change.at)

    def _handle_notice(self, change: Change) -> None:
        number, ahead = change.connection, self._silence.ahead if self._silence else 0.0
        match change.notice:
            case Acknowledged(channels):
                self._acknowledged.setdefault(number, {}).update(dict.fromkeys(channels, change.at))
                symbols = self._symbols_of(channels)
                if change.state is not State.STREAMING and not self._unheard.isdisjoint(symbols):
                    self._stalled.setdefault(number, set()).update(symbols)
                self._cover(symbols, number, change.at)
            case ClockDoubt(cause):
                self._clock_was_set = True
                mine = [key for key in self._open if key[0] == number]
                self._end(mine, change, cause)
                # The connection is open, so what is sent from now on arrives.
                acknowledged = self._acknowledged.get(number, {})
                acknowledged.update(dict.fromkeys(acknowledged, change.at))
                self._cover([symbol for _, symbol in mine], number, change.at)
            case HeardAgain(channels, heard_by):
                self._silent.difference_update(self._symbols_of(channels))
                for channel in channels:
                    at = int(min(heard_by.get(channel, math.inf) + ahead, change.at / 1e9) * 1e9)
                    self._cover(self._symbols_of((channel,)), number, at)
            case Silent(seconds, heard_after):
                self._forget_acknowledged(number, seconds)  # they are subscribed to again
                for channel in seconds:
                    for symbol in self._symbols_of((channel,)):
                        self._silent.add(symbol)
                        end = int((heard_after.get(channel, 0.0) + ahead) * 1e9)
                        self._close([key for key in self._open if key[1] == symbol], end, "silent")
            case Unsubscribed(channels):
                self._forget_acknowledged(number, channels)
                self._uncover(channels, change, "unsubscribed")
            case ChannelsFailed(reasons):
                self._forget_acknowledged(number, reasons)
                self._uncover(reasons, change, "refused")
                for channel, reason in reasons.items():
                    self._refusals.update(dict.fromkeys(self._symbols_of((channel,)), storable(reason)))

    def refuse(self, connection: int, at: int) -> None:
        """Every event of this connection was rejected since then."""
        with self._lock:
            keys = [key for key in self._open if key[0] == connection]
            self._refused[connection] = [symbol for _, symbol in keys]
            self._close(keys, at, "refused")
            self._write_notes()

    def accept(self, connection: int, at: int) -> None:
        """An event of this connection was accepted again."""
        with self._lock:
            self._cover(self._refused.pop(connection, ()), connection, at)
            self._write_notes()

    def move(self, connection: int, by: int) -> None:
        """The clock was wrong by so many nanoseconds since the intervals of this connection that are open began."""
        with self._lock:
            for key, begin in list(self._open.items()):
                if key[0] == connection:
                    self._periods.append(Period(key[1], connection, begin, begin, "clock_stepped"))
                    self._open[key] = begin + by
                    self._periods.append(Period(key[1], connection, begin + by))
            acknowledged = self._acknowledged.get(connection, {})
            acknowledged.update({channel: at + by for channel, at in acknowledged.items()})
            symbols = self._symbols
            if not self._clock_was_set:
                self._symbols = symbols._replace(at=symbols.at + by, wrong=(*symbols.wrong, symbols.at))
            self._write_notes()

    def _symbols_of(self, channels: Iterable[str]) -> list[str]:
        """The symbols of these channels, each once."""
        return list(dict.fromkeys(self._symbol_of[channel] for channel in channels if channel in self._symbol_of))

    def _forget_acknowledged(self, number: int, channels: Iterable[str]) -> None:
        acknowledged = self._acknowledged.get(number, {})
        for channel in channels:
            acknowledged.pop(channel, None)

    def _cover(self, symbols: Iterable[str], number: int, at: int) -> None:
        """Open intervals for the symbols whose channels are acknowledged, from `at` or their acknowledgement."""
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
        """Close the intervals of symbols that are no longer acknowledged."""
        number = change.connection
        acknowledged = self._acknowledged.get(number, {}).keys()
        lost = [
            (number, symbol)
            for symbol in self._symbols_of(channels)
            if not any(needed <= acknowledged for needed in self._channels[symbol])
        ]
        for key in lost:
            self._close([key], self._received_until(key[1], change), ended_by)

    def _received_until(self, symbol: str, change: Change) -> int | None:
        """Until when all of a symbol was received: to the last data, or longer if its hours end soon after.

        What was sent in them has arrived, if the connection was alive after them.
        """
        until, alive, hours = change.covered_until, change.alive_until, self._hours.get(symbol)
        if until is None or alive is None or hours is None or alive <= until:
            return until
        last, end = until / 1e9, alive / 1e9
        sending = hours.sessions(last, end)
        if sending and sending[0][0] == last:
            if sending[0][1] - last > self._patience or sending[0][1] == end:
                return until
            del sending[0]
        return int(sending[0][0] * 1e9) if sending else alive

    def _end(self, keys: Iterable[tuple[int, str]], change: Change, ended_by: str) -> None:
        """Close a connection's intervals; for symbols that fell silent before it ended, at their last ticks.

        That silence was too short to be reported, and may be by chance, but the time is doubtful.
        """
        for key in keys:
            until = self._received_until(key[1], change)
            ahead = self._silence.ahead if self._silence else 0.0
            heard = self._silence.fell_silent_before(key[1], until / 1e9 - ahead) if self._silence and until else None
            if heard is None:
                self._close([key], until, ended_by)
            else:
                self._close([key], int((heard + ahead) * 1e9), "silent")

    def _close(self, keys: Iterable[tuple[int, str]], until: int | None, ended_by: str) -> None:
        for key in keys:
            begin = self._open.pop(key, None)
            if begin is not None:
                number, symbol = key
                self._periods.append(Period(symbol, number, begin, max(begin, (until or 0) - IN_FLIGHT), ended_by))

    # Notes on this machine's disk.

    def write_notes_to(self, notes: CoverageNotes) -> None:
        """Note all changes from now on, until they are stored."""
        with self._lock:
            self._notes = notes
            self._write_notes()

    def add_notes(self, journal: Path) -> None:
        """Read the notes of earlier owners in this journal too."""
        if self._notes is not None:
            self._notes.add(journal)

    def _write_notes(self) -> None:
        missing = list(self._periods)[self._noted :]
        # What cannot be written now, as on a full disk, is written with the next note.
        if missing and self._notes is not None and self._notes.write(missing):
            self._noted = len(self._periods)

    def write_missing_notes(self) -> None:
        """Write the notes that could not be written, since the journal's disk has room again."""
        if len(self._periods) > self._noted:
            with self._lock:
                self._write_notes()

    def store_earlier_notes(self, cursor: Cursor, lease: Lease) -> None:
        """Store the notes of earlier owners in the database; call `forget_earlier_notes` after the commit."""
        for epoch, periods in self._notes.earlier() if self._notes is not None else ():
            store_earlier(cursor, lease.feed, epoch, periods)

    def forget_earlier_notes(self) -> None:
        """Delete the notes of earlier owners: they are committed."""
        if self._notes is not None:
            self._notes.delete_earlier()

    # Rows in the database.

    @property
    def waiting(self) -> bool:
        """Whether there are changes to store."""
        return bool(self._periods or self._refusals) or self._symbols is not self._committed_symbols

    def store(self, cursor: Cursor, lease: Lease) -> None:
        """Store the changes in a transaction of the loader; call `committed` after its commit."""
        with self._lock:
            periods, refusals = list(self._periods), dict(self._refusals)
            symbols = self._symbols
            self._stored_notes = self._notes.last if self._notes is not None else 0
        if symbols is not self._committed_symbols:
            record_symbols(cursor, lease.feed, symbols, epoch=lease.epoch)
        if periods:
            store_periods(cursor, lease.feed, lease.epoch, periods)
        if refusals:
            values = [(lease.feed, *item) for item in refusals.items()]
            insert_by_symbol(cursor, "queries/gaps/record_refusals.sql", values, template="(%s, %s, %s::text)")
        self._stored, self._stored_refusals, self._stored_symbols = len(periods), refusals, symbols

    def not_stored(self) -> None:
        """The last `store` was rolled back, and what it stored is not committed with its transaction."""
        self._stored, self._stored_refusals, self._stored_symbols = 0, {}, None

    def committed(self) -> None:
        """Drop the changes of the last `store`: they are committed."""
        with self._lock:
            for _ in range(self._stored):
                self._periods.popleft()
            self._noted = max(0, self._noted - self._stored)
            if self._stored and self._notes is not None:
                self._notes.delete(self._stored_notes)
            for symbol, refusal in self._stored_refusals.items():
                if self._refusals.get(symbol, "") == refusal:
                    del self._refusals[symbol]
        if self._stored_symbols is not None:
            self._committed_symbols = self._stored_symbols
        self._stored, self._stored_refusals = 0, {}


def record_symbols(cursor: Cursor, feed: str, symbols: ConfiguredSymbols, *, epoch: int) -> None:
    """Record which symbols of a feed an owner has from now on, and when their providers send."""
    if symbols.wrong:
        correct_configured_since(cursor, feed, list(symbols.calendars), at=symbols.at, wrong=symbols.wrong)
    cursor.execute(
        sql_files.read("queries/gaps/record_symbols.sql"),
        {
            "feed": feed,
            "at": from_nanoseconds(symbols.at),
            "symbols": list(symbols.calendars),
            "calendars": list(symbols.calendars.values()),
            "epoch": epoch,
            "elapsed": None if symbols.since is None else timedelta(seconds=boottime() - symbols.since),
        },
    )
    market_sessions.add_missing(cursor, symbols.calendars.values())
