"""Which symbols are silent for longer than their own pace and their calendar explain, and what to do about it.

The threshold follows the symbol's rate, as in aggr-server, from the feed's `stale_after_seconds` for busy symbols up to
two hours for quiet ones. Only data counts: pings, heartbeats and statuses say nothing about a symbol. Free of I/O;
times are seconds since the Unix epoch, given by the caller.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ticks_platform.feeds.calendars import Calendar

MEMORY = 600.0
"""Seconds over which a symbol's rate is averaged (exponentially)."""

EXPECTED_TICKS = 30.0
"""A symbol is silent when this many ticks were to be expected: by chance (Poisson) that happens once in 10^13."""

LONGEST_PATIENCE = 7200.0
"""Seconds of silence that even the quietest symbol is allowed while its market is open."""

COUNTING_INTERVAL = 1.0
"""Seconds of ticks that are counted at once; a batch may hold a thousand symbols."""

RECONNECT_PAUSE = 600.0
"""Seconds between reconnects for the sake of at least half of a connection's symbols."""

MINORITY_RECONNECT_PAUSE = 3600.0
"""The same for the sake of fewer: a halt in one symbol must not cut off all others again and again."""


class _Pace:
    __slots__ = ("after", "count", "last", "updated")

    def __init__(self, at: float) -> None:
        self.count = 0.0
        self.after = 0.0
        self.last = at
        self.updated = at


class SilenceDetector:
    """The pace of each symbol of a feed. Written by the thread that decodes, read by those that receive."""

    def __init__(self, calendars: Mapping[str, Calendar], *, patience: float) -> None:
        """`calendars` are those of the symbols; `patience` is the shortest silence, in seconds, that counts."""
        self._calendars = dict(calendars)
        self._patience = patience
        self._paces: dict[str, _Pace] = {}
        self._lock = threading.Lock()
        self._watched: dict[str, float] = {}
        self._pending: Counter[str] = Counter()
        self._pending_until = 0.0
        self._counted_until = 0.0
        self.decoded_until = 0.0
        """Arrival of the last frame that was decoded: silence after it may be a backlog."""

    @property
    def patience(self) -> float:
        """Shortest silence that counts, in seconds."""
        return self._patience

    def follow(self, calendars: Mapping[str, Calendar]) -> None:
        """Take over a changed list of symbols."""
        self._calendars = dict(calendars)

    def saw(self, symbols: Iterable[str], *, until: float, arrivals: Callable[[], Sequence[int]] | None = None) -> None:
        """Count ticks of these symbols, one each, that arrived up to `until`.

        `arrivals` tells when each of them did, in nanoseconds; it is asked when a symbol that was silent is among them.
        """
        with self._lock:
            if self._watched:
                symbols = list(symbols)
                for symbol in self._watched.keys() & set(symbols):
                    at = until if arrivals is None else arrivals()[symbols.index(symbol)] / 1e9
                    self._watched[symbol] = min(at, self._watched[symbol])
            self._pending.update(symbols)
            self._pending_until = max(self._pending_until, until)

    def caught_up(self, until: float) -> None:
        """Note that all that arrived up to `until` has been seen."""
        self.decoded_until = max(self.decoded_until, until)
        if until - self._counted_until >= COUNTING_INTERVAL:
            self.count()

    def count(self) -> None:
        """Turn what was seen lately into paces."""
        with self._lock:
            counts, self._pending = self._pending, Counter()
            before = self._counted_until
            until = self._counted_until = max(self.decoded_until, self._pending_until)
            for symbol, count in counts.items():
                pace = self._paces.get(symbol)
                if pace is None:
                    pace = self._paces[symbol] = _Pace(until)
                # While a market is closed nothing is expected, so that time does not count against the pace; nor do
                # the ticks of that time count for it, or a morning of early trading would add up to a fast pace.
                pace.count *= math.exp(-self._open_seconds(symbol, pace.updated, until) / MEMORY)
                calendar = self._calendars.get(symbol)
                if calendar is None or calendar.open_since(until) is not None:
                    pace.count += count
                pace.last = pace.updated = max(until, pace.last)
                pace.after = before

    def limit(self, symbol: str) -> float:
        """Seconds of silence that this symbol's pace explains."""
        pace = self._paces.get(symbol)
        if pace is None or pace.count < 1.0:
            return LONGEST_PATIENCE
        # The count approaches rate x MEMORY; a young one counts as the whole of it, which errs on the patient side.
        return min(LONGEST_PATIENCE, max(self._patience, EXPECTED_TICKS * MEMORY / pace.count))

    def last_seen(self, symbol: str) -> float | None:
        """When the last tick of a symbol arrived."""
        pace = self._paces.get(symbol)
        return pace.last if pace else None

    def heard_after(self, symbol: str) -> float:
        """A moment before a symbol's last tick arrived, by a second or by what was decoded at once; 0 without one."""
        pace = self._paces.get(symbol)
        return pace.after if pace else 0.0

    def fell_silent_before(self, symbol: str, until: float) -> float | None:
        """The same of a symbol whose silence at `until` its pace did not explain; None where it did, or nobody knows.

        Patience does not count here: this changes nothing that goes on, but tells what may be missing before an end.
        """
        self.count()
        pace = self._paces.get(symbol)
        if pace is None or pace.count < 1.0:
            return None
        silence = self._open_seconds(symbol, pace.last, min(until, self.decoded_until))
        return pace.after if silence > EXPECTED_TICKS * MEMORY / pace.count else None

    def watch(self, symbols: Iterable[str]) -> None:
        """Note exactly when these, which are silent, are heard again."""
        with self._lock:
            self._watched.update(dict.fromkeys(symbols, math.inf))

    def heard_by(self, symbol: str) -> float:
        """When a watched symbol had been heard again, and watch it no longer; infinity where it has not been."""
        with self._lock:
            return self._watched.pop(symbol, math.inf)

    def duration(self, symbol: str, now: float, *, since: float) -> float:
        """Seconds of the current session without a tick, counted from `since` at the earliest; 0 while it is closed."""
        calendar = self._calendars.get(symbol)
        opened = calendar.open_since(now) if calendar else None
        if opened is None:
            return 0.0
        pace = self._paces.get(symbol)
        return max(0.0, now - max(since, opened, pace.last if pace else 0.0))

    def open_since(self, symbols: Iterable[str], now: float) -> float | None:
        """Since when the market of at least one of these symbols has been open; None while all are closed."""
        calendars = {self._calendars[symbol] for symbol in symbols if symbol in self._calendars}
        return min((since for calendar in calendars if (since := calendar.open_since(now)) is not None), default=None)

    def any_open_since(self, now: float) -> float | None:
        """Since when at least one symbol's market has been open; None while all are closed."""
        opened = [
            since for calendar in set(self._calendars.values()) if (since := calendar.open_since(now)) is not None
        ]
        return min(opened, default=None)

    def _open_seconds(self, symbol: str, begin: float, end: float) -> float:
        calendar = self._calendars.get(symbol)
        if calendar is None:
            return max(0.0, end - begin)
        return sum(close - open_ for open_, close in calendar.sessions(begin, end))


class Steps(NamedTuple):
    """What to do now about silence on one connection."""

    noticed: dict[str, float]
    """Symbols that have just fallen silent, with the seconds of their silence: subscribe to them anew."""
    heard_again: tuple[str, ...]
    reconnect: str | None
    """Why to reconnect, or None."""
    unhealthy: tuple[str, ...]
    """Symbols that stay silent although everything was tried."""


class Escalation:
    """Silence on one feed's connection, step by step: subscribe anew, then reconnect, then call it unhealthy.

    Outlives the connection, so that a reconnect which did not help is not tried again at once.
    """

    def __init__(self, silence: SilenceDetector) -> None:
        self.silence = silence
        self._noticed_at: dict[str, float] = {}
        self._tried: set[str] = set()
        self._unhealthy: set[str] = set()
        self._reconnected_at = -math.inf

    @property
    def unhealthy(self) -> frozenset[str]:
        """Symbols that stay silent although everything was tried."""
        return frozenset(self._unhealthy)

    def look(self, since: Mapping[str, float], now: float) -> Steps:
        """Judge these symbols; the numbers are since when each is subscribed to."""
        silence = self.silence
        silence.count()
        for symbol in self._noticed_at.keys() - since.keys():
            self._forget((symbol,))
            silence.heard_by(symbol)
        silent: dict[str, float] = {}
        for symbol, subscribed in since.items():
            # What was noticed before a reconnect stays noticed, although the new subscription is young.
            begin = min(subscribed, self._noticed_at.get(symbol, subscribed))
            seconds = silence.duration(symbol, now, since=begin)
            if seconds > silence.limit(symbol):
                silent[symbol] = seconds
        heard = tuple(
            symbol
            for symbol, noticed in self._noticed_at.items()
            if symbol not in silent and (silence.last_seen(symbol) or 0.0) > noticed
        )
        self._forget(heard)
        noticed = {symbol: seconds for symbol, seconds in silent.items() if symbol not in self._noticed_at}
        self._noticed_at.update(dict.fromkeys(noticed, now))
        silence.watch(noticed)

        patience = silence.patience / 2
        stubborn = [symbol for symbol in silent if now - max(self._noticed_at[symbol], since[symbol]) > patience]
        # One that had to wait for its reconnect is unhealthy meanwhile, and gets it as soon as there may be one again.
        untried = [symbol for symbol in stubborn if symbol not in self._tried]
        pause = RECONNECT_PAUSE if 2 * len(silent) >= len(since) else MINORITY_RECONNECT_PAUSE
        if untried and now - self._reconnected_at >= pause:
            self._reconnected_at = now
            self._tried.update(stubborn)
            longest = max(silent[symbol] for symbol in untried)
            names = ", ".join(sorted(untried)[:10])
            return Steps(noticed, heard, f"no data of {names} for {longest:.0f} s, subscribed anew in vain", ())
        unhealthy = tuple(symbol for symbol in stubborn if symbol not in self._unhealthy)
        self._unhealthy.update(unhealthy)
        return Steps(noticed, heard, None, unhealthy)

    def _forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._noticed_at.pop(symbol, None)
            self._tried.discard(symbol)
            self._unhealthy.discard(symbol)
