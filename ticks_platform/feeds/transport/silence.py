"""Detects symbols that are silent for longer than their rate and calendar explain, and decides what to do.

The threshold follows the symbol's rate, as in aggr-server: from the feed's `stale_after_seconds` for busy symbols up to
two hours for quiet ones. Only data counts, not pings, heartbeats or statuses. No I/O; times are seconds since the Unix
epoch, given by the caller, by a clock that is never set: `steady` of `ticks_platform.feeds.transport.clock`.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from ticks_platform.feeds.calendars import Calendar
from ticks_platform.feeds.coded import counted

MEMORY = 600.0
"""Time constant in seconds of the exponential average of a symbol's rate."""

EXPECTED_TICKS = 30.0
"""A symbol is silent if this many ticks were expected in the time; by chance (Poisson) that happens once in 10^13."""

MAX_PATIENCE = 7200.0
"""Seconds of silence in an open market after which even the quietest symbol is silent."""

COUNTING_INTERVAL = 1.0
"""Seconds of ticks that are counted at once, since a batch may have a thousand symbols."""

HALT_REPORTS = 60.0
"""Seconds after a halt in which ticks may be late reports of trades from before it. A later tick ends the halt, whose
resumption was missed."""

RECONNECT_PAUSE = 600.0
"""Seconds between reconnects if at least half of a connection's symbols are silent."""

MINORITY_RECONNECT_PAUSE = 3600.0
"""The same if fewer are: a halt in one symbol must not interrupt all others repeatedly."""


class _Rate:
    __slots__ = ("after", "count", "last", "updated")

    def __init__(self, at: float) -> None:
        self.count = 0.0
        self.after = 0.0
        self.last = at
        self.updated = at


class _Halt(NamedTuple):
    """The last halt of a symbol's trading; seconds since the Unix epoch."""

    begin: float
    end: float


_NO_HALT = _Halt(math.inf, math.inf)


class SilenceDetector:
    """The rate of each symbol of a feed. Written by the decoding thread, read by the receiving threads."""

    def __init__(self, calendars: Mapping[str, Calendar], *, patience: float) -> None:
        """`calendars` are those of the symbols; `patience` is the shortest silence in seconds that counts."""
        self._calendars = dict(calendars)
        self._patience = patience
        self._rates: dict[str, _Rate] = {}
        self._lock = threading.Lock()
        self._watched: dict[str, float] = {}
        self._halts: dict[str, _Halt] = {}
        self._halted: set[str] = set()
        self._pending: Counter[str] = Counter()
        self._pending_until = 0.0
        self._counted_until = 0.0
        self.ahead = 0.0
        """By how many seconds the right time is ahead of the caller's; the calendars are asked for the right time."""
        self.decoded_until = 0.0
        """Arrival of the last decoded frame: symbols without data after it may be in the backlog."""

    @property
    def patience(self) -> float:
        """Shortest silence in seconds that counts."""
        return self._patience

    def set_calendars(self, calendars: Mapping[str, Calendar]) -> None:
        """Change the symbols."""
        self._calendars = dict(calendars)

    def record(
        self, symbols: Sequence[str], *, until: float, arrivals: Callable[[], Sequence[int]] | None = None
    ) -> None:
        """Count one tick for each of these symbols; they arrived up to `until`.

        `arrivals` returns the arrival of each in nanoseconds; it is called only if one of them was silent.
        """
        counts = counted(symbols)
        with self._lock:
            if self._watched:
                for symbol in self._watched.keys() & counts.keys():
                    at = until if arrivals is None else arrivals()[symbols.index(symbol)] / 1e9
                    self._watched[symbol] = min(at, self._watched[symbol])
            if self._halted:
                for symbol in self._halted & counts.keys():
                    if until > self._halts[symbol].begin + HALT_REPORTS:
                        self._resume(symbol, until)
            self._pending.update(counts)
            self._pending_until = max(self._pending_until, until)

    def record_halt(self, symbol: str, kind: Literal["halt", "resume"], at: float) -> None:
        """Trading of a symbol was halted, or resumed; that arrived at `at`. Its silence is expected meanwhile."""
        with self._lock:
            if kind == "resume":
                self._resume(symbol, at)
            elif kind == "halt" and symbol not in self._halted:
                self._halts[symbol] = _Halt(at, math.inf)
                self._halted.add(symbol)

    def _resume(self, symbol: str, at: float) -> None:
        if symbol in self._halted:
            self._halted.discard(symbol)
            self._halts[symbol] = self._halts[symbol]._replace(end=at)

    def is_halted(self, symbol: str, *, since: float) -> bool:
        """Whether a symbol is halted, as was told after it was subscribed to at `since`.

        What was told before may have ended while nothing was received.
        """
        return symbol in self._halted and self._halts[symbol].begin >= since

    def mark_decoded(self, until: float) -> None:
        """All that arrived up to `until` is decoded."""
        self.decoded_until = max(self.decoded_until, until)
        if until - self._counted_until >= COUNTING_INTERVAL:
            self.count()

    def count(self) -> None:
        """Update the rates with the recorded ticks."""
        with self._lock:
            counts, self._pending = self._pending, Counter()
            before = self._counted_until
            until = self._counted_until = max(self.decoded_until, self._pending_until)
            for symbol, count in counts.items():
                rate = self._rates.get(symbol)
                if rate is None:
                    rate = self._rates[symbol] = _Rate(until)
                # Neither the time nor the ticks of a closed market count: the rate is that of the open market, and
                # early trading in the morning must not raise it.
                rate.count *= math.exp(-self._open_seconds(symbol, rate.updated, until) / MEMORY)
                calendar = self._calendars.get(symbol)
                if calendar is None or calendar.open_since(until + self.ahead) is not None:
                    rate.count += count
                rate.last = rate.updated = max(until, rate.last)
                rate.after = before

    def limit(self, symbol: str) -> float:
        """Seconds of silence that this symbol's rate explains."""
        rate = self._rates.get(symbol)
        if rate is None or rate.count < 1.0:
            return MAX_PATIENCE
        # The count approaches rate x MEMORY; while it is young it is too low, so the limit is rather too high.
        return min(MAX_PATIENCE, max(self._patience, EXPECTED_TICKS * MEMORY / rate.count))

    def last_seen(self, symbol: str) -> float | None:
        """When a symbol's last tick arrived."""
        rate = self._rates.get(symbol)
        return rate.last if rate else None

    def heard_after(self, symbol: str) -> float:
        """A moment before a symbol's last tick: by a second, or by what was decoded at once; 0 if it has none."""
        rate = self._rates.get(symbol)
        return rate.after if rate else 0.0

    def fell_silent_before(self, symbol: str, until: float) -> float | None:
        """The same if its rate does not explain its silence at `until`; None if it does, or the rate is unknown.

        `patience` does not count: this tells what may be missing at the end of a connection.
        """
        self.count()
        rate = self._rates.get(symbol)
        if rate is None or rate.count < 1.0:
            return None
        silence = self._open_seconds(symbol, rate.last, min(until, self.decoded_until))
        return rate.after if silence > EXPECTED_TICKS * MEMORY / rate.count else None

    def watch(self, symbols: Iterable[str]) -> None:
        """Record when these silent symbols have data again."""
        with self._lock:
            self._watched.update(dict.fromkeys(symbols, math.inf))

    def heard_by(self, symbol: str) -> float:
        """When a watched symbol had data again; infinity if it had not. Stops watching it."""
        with self._lock:
            return self._watched.pop(symbol, math.inf)

    def duration(self, symbol: str, now: float, *, since: float) -> float:
        """Seconds since the last tick, the end of a halt, the session's open or `since`, whichever is latest.

        0 in a closed market.
        """
        calendar = self._calendars.get(symbol)
        opened = self._open_since(calendar, now) if calendar else None
        if opened is None:
            return 0.0
        rate = self._rates.get(symbol)
        halt = self._halts.get(symbol)
        resumed = halt.end if halt is not None and halt.end < math.inf else 0.0
        return max(0.0, now - max(since, opened, resumed, rate.last if rate else 0.0))

    def open_since(self, symbols: Iterable[str], now: float) -> float | None:
        """Since when a market of these symbols has been open; None while all are closed."""
        calendars = {self._calendars[symbol] for symbol in symbols if symbol in self._calendars}
        opened = [since for calendar in calendars if (since := self._open_since(calendar, now)) is not None]
        return min(opened, default=None)

    def any_open_since(self, now: float) -> float | None:
        """Since when a market of any symbol has been open; None while all are closed."""
        calendars = set(self._calendars.values())
        opened = [since for calendar in calendars if (since := self._open_since(calendar, now)) is not None]
        return min(opened, default=None)

    def _open_since(self, calendar: Calendar, now: float) -> float | None:
        opened = calendar.open_since(now + self.ahead)
        return None if opened is None else opened - self.ahead

    def _open_seconds(self, symbol: str, begin: float, end: float) -> float:
        """Seconds of a time in which its market was open, and it was not halted."""
        calendar = self._calendars.get(symbol)
        sessions = [(begin, max(begin, end))]
        if calendar is not None:
            by_calendar = calendar.sessions(begin + self.ahead, end + self.ahead)
            sessions = [(opens - self.ahead, closes - self.ahead) for opens, closes in by_calendar]
        halt = self._halts.get(symbol, _NO_HALT)
        return sum(close - open_ - max(0.0, min(close, halt.end) - max(open_, halt.begin)) for open_, close in sessions)


class Steps(NamedTuple):
    """What to do about silence on one connection."""

    newly_silent: dict[str, float]
    """Symbols that have just become silent, with the seconds of silence: resubscribe to them."""
    heard_again: tuple[str, ...]
    """Symbols that were silent and have data again."""
    reconnect: str | None
    """Why to reconnect, or None."""
    unhealthy: tuple[str, ...]
    """Symbols that are still silent after a new subscription and a reconnect."""


class Escalation:
    """Decides what to do about silent symbols of a connection: resubscribe, then reconnect, then report as unhealthy.

    Survives the reconnect, so that one which did not help is not repeated at once.
    """

    def __init__(self, silence: SilenceDetector) -> None:
        self.silence = silence
        self._detected_at: dict[str, float] = {}
        self._reconnected_for: set[str] = set()
        self._unhealthy: set[str] = set()
        self._reconnected_at = -math.inf

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that are still silent after a new subscription and a reconnect."""
        return frozenset(self._unhealthy)

    def check(self, since: Mapping[str, float], now: float) -> Steps:
        """Check these symbols; `since` is when each was subscribed to."""
        silence = self.silence
        silence.count()
        for symbol in self._detected_at.keys() - since.keys():
            self._forget((symbol,))
            silence.heard_by(symbol)
        silent: dict[str, float] = {}
        for symbol, subscribed in since.items():
            # A symbol that was silent before a reconnect stays silent, although its subscription is new.
            begin = min(subscribed, self._detected_at.get(symbol, subscribed))
            if silence.is_halted(symbol, since=subscribed):
                continue
            seconds = silence.duration(symbol, now, since=begin)
            if seconds > silence.limit(symbol):
                silent[symbol] = seconds
        heard = tuple(
            symbol
            for symbol, detected in self._detected_at.items()
            if symbol not in silent and (silence.last_seen(symbol) or 0.0) > detected
        )
        self._forget(heard)
        newly_silent = {symbol: seconds for symbol, seconds in silent.items() if symbol not in self._detected_at}
        self._detected_at.update(dict.fromkeys(newly_silent, now))
        silence.watch(newly_silent)

        wait = silence.patience / 2
        still_silent = [symbol for symbol in silent if now - max(self._detected_at[symbol], since[symbol]) > wait]
        # A symbol that has to wait for a reconnect is unhealthy until the pause is over.
        without_reconnect = [symbol for symbol in still_silent if symbol not in self._reconnected_for]
        pause = RECONNECT_PAUSE if 2 * len(silent) >= len(since) else MINORITY_RECONNECT_PAUSE
        if without_reconnect and now - self._reconnected_at >= pause:
            self._reconnected_at = now
            self._reconnected_for.update(still_silent)
            longest = max(silent[symbol] for symbol in without_reconnect)
            names = ", ".join(sorted(without_reconnect)[:10])
            return Steps(newly_silent, heard, f"no data of {names} for {longest:.0f} s, also after resubscribing", ())
        unhealthy = tuple(symbol for symbol in still_silent if symbol not in self._unhealthy)
        self._unhealthy.update(unhealthy)
        return Steps(newly_silent, heard, None, unhealthy)

    def _forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._detected_at.pop(symbol, None)
            self._reconnected_for.discard(symbol)
            self._unhealthy.discard(symbol)
