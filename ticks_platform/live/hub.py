"""Asks the database for all viewers at once, and tells them what has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psycopg2

from ticks_platform.errors import TicksPlatformError
from ticks_platform.live import feed_words, overviews
from ticks_platform.live.answers import SharedAnswers
from ticks_platform.live.pace import Pace
from ticks_platform.live.queries import Answer, Reader, Wanted
from ticks_platform.live.series import Key, Series
from ticks_platform.live.trouble import BusyError, trouble
from ticks_platform.live.viewers import Viewer, Viewers, message
from ticks_platform.timescale.candles import explanation

logger = logging.getLogger(__name__)

T = TypeVar("T")

SLOW_SECONDS = 2.5
"""Seconds without an answer after which viewers are told."""

OVERVIEW_SECONDS = 3.0
"""How often gaps, rejected events and the newest prices are asked for. While a gap is open, gaps are by every poll."""

WHOLE_SECONDS = 60.0
"""How often all candles of a series are asked for: late ticks and repairs change old ones."""

SYMBOLS_SECONDS = 60.0
"""How often the list of all symbols is asked for."""

LISTED = 60
"""Symbols whose prices the page lists; others are found by their name."""

KEPT_SERIES = 40
"""Series in memory: those that somebody looks at, and the last others."""

MOST_WAITING = 30
"""Requests that may wait for the database."""

FRESH_SECONDS = 2.0
"""Seconds since the last answer after which the first viewer waits for the next one: what is known is old."""

LINGER_SECONDS = 10.0
"""Seconds after the last viewer for which the connection is kept: a page that is reloaded opens no other one."""


class UnknownSymbolError(Exception):
    """No feed streams this symbol, and there are no candles of it; it has the names that may have been meant."""

    def __init__(self, symbol: str, nearest: list[str]) -> None:
        super().__init__(symbol)
        self.nearest = nearest


class Hub:
    """The one that asks, and what it knows."""

    def __init__(self, reader: Reader, project: Path, version: str) -> None:
        self.reader = reader
        self.viewers = Viewers()
        self._feeds = feed_words.Names(project / "feeds.yaml")
        self._version = version
        self._pace = Pace()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._asking = False
        self._pulse = feed_words.Pulse()
        self._series: OrderedDict[Key, Series] = OrderedDict()
        self._followed: set[Key] = set()
        """Those that each poll keeps up to date."""
        self._gaps: dict[str, list[Any]] = {}
        self._answers = SharedAnswers()
        self._state: dict[str, Any] = overviews.NOTHING_KNOWN
        self._overview: dict[str, Any] = {}
        self._symbols: dict[str, tuple[str | None, bool]] = {}
        self._due: dict[str, float] = {}
        self._answered_at = float("-inf")
        """When a poll was answered last, on the monotonic clock."""

    # What viewers do.

    def open(self, symbol: str | None, interval: str) -> Viewer:
        """A new viewer of a symbol, or of the first one. Raises TooManyViewersError."""
        if not len(self.viewers) and time.monotonic() > self._answered_at + FRESH_SECONDS:
            self._forget()
        viewer = Viewer(symbol, interval, self.snapshot)
        self.viewers.add(viewer)
        self._resolve(viewer)
        return viewer

    def _forget(self) -> None:
        """Forget what polls have brought: nobody has looked, so it would be shown as if it were of now."""
        self._state, self._overview = overviews.NOTHING_KNOWN, {}
        self._followed.clear()
        self._series.clear()
        self._gaps.clear()
        self._due = {what: at for what, at in self._due.items() if what == "symbols"}

    def _resolve(self, viewer: Viewer) -> None:
        """Let a viewer look at its symbol, as soon as it is known which there are."""
        if viewer.key is not None or not self._symbols:
            return
        symbol = viewer.symbol
        if symbol is None or symbol not in self._symbols:
            symbol = next(iter(self._symbols))
        viewer.look_at(Key(symbol, viewer.interval))
        if viewer.symbol not in (None, symbol):
            nearest = explanation.nearest(viewer.symbol or "", list(self._symbols))
            viewer.put(message("unknown", {"symbol": viewer.symbol, "nearest": nearest}))

    def snapshot(self, key: Key | None) -> list[bytes]:
        """All that a viewer of this series has to know, as far as it is known."""
        found = [message("hello", {"version": self._version}), message("state", self._state)]
        if self._overview:
            found.append(message("overview", self._overview))
        if key is not None and key in self._series:
            found.append(self._whole(key))
        return found

    async def history(self, key: Key, before: int | None) -> dict[str, Any]:
        """Candles of a series, and the gaps of its symbol in that time. Raises UnknownSymbolError, BusyError."""
        await self.check(key.symbol)
        if before is None and key in self._followed and key in self.viewers.watched():
            return self._content(key)
        answer = await self._answers.once(
            (key, before), lambda: self._request(lambda: self.reader.history(key, before))
        )
        if before is None:
            self._keep(key, answer)
            return self._content(key)
        (history,), (gaps,) = answer.parts["history"], answer.parts["gaps"]
        return {**_named(key), "candles": Series.of_history(key, history).points(), "gaps": gaps}

    async def explain(self, key: Key, at: int) -> dict[str, Any]:
        """Where a candle comes from. Raises UnknownSymbolError, NoAnswerError, BusyError."""
        await self.check(key.symbol)
        bucket = at // key.step * key.step
        explained = lambda: self._request(lambda: self.reader.explain(key, bucket), queries=2)  # noqa: E731
        return await self._answers.once(("explain", key, bucket), explained)

    async def check(self, symbol: str) -> None:
        """Raises UnknownSymbolError for a symbol that does not exist."""
        if symbol not in self._symbols:
            await self._answers.once("symbols", self._load_symbols)
        if symbol not in self._symbols:
            raise UnknownSymbolError(symbol, explanation.nearest(symbol, list(self._symbols)))

    async def search(self, text: str, limit: int) -> list[dict[str, Any]]:
        """Symbols whose symbol or name has this text, those that begin with it first."""
        if not self._symbols:
            await self._answers.once("symbols", self._load_symbols)
        wanted = text.casefold()
        found = [
            (not symbol.casefold().startswith(wanted), not streamed, place, symbol, name)
            for place, (symbol, (name, streamed)) in enumerate(self._symbols.items())
            if wanted in symbol.casefold() or wanted in (name or "").casefold()
        ]
        return [{"symbol": symbol, "name": name} for *_, symbol, name in sorted(found)[:limit]]

    def state(self) -> dict[str, Any]:
        """What is known of database and feeds."""
        return {**self._state, **self._overview}

    # The end.

    def end_streams(self) -> None:
        """End the streams of all viewers."""
        for viewer in self.viewers:
            viewer.end()

    @property
    def is_asking(self) -> bool:
        """Whether a question has no answer yet."""
        return self._asking

    def close(self) -> None:
        """Close the connection, unless a question waits for its answer."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if not self._asking:
            self.reader.close()

    # The poll.

    async def run(self) -> None:
        """Poll while somebody looks, until cancelled."""
        while True:
            if not len(self.viewers):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.viewers.arrived.wait(), LINGER_SECONDS)
                if not len(self.viewers):
                    async with self._turn:
                        await self._in_thread(self.reader.close)
                    await self.viewers.arrived.wait()
                # What is known is old by now.
                self._due.clear()
            try:
                await self._poll()
            except Exception:  # a bug, or an answer that nobody expected; the page must not stand still for it
                logger.exception("the live page's poll failed")
                await asyncio.sleep(1.0)

    async def _poll(self) -> None:
        while wait := self._pace.wait_of_poll(time.monotonic()):
            await asyncio.sleep(wait)
        now = time.monotonic()
        if self._is_due("symbols", now, SYMBOLS_SECONDS) and not await self._told(self._load_symbols):
            self._due.clear()
            return
        for viewer in self.viewers:
            self._resolve(viewer)
        keys = self.viewers.watched()
        # One that nobody has looked at for a while lacks what came meanwhile.
        self._followed &= keys
        new = next((key for key in keys - self._followed if key.symbol in self._symbols), None)
        if new is not None:
            await self._told(lambda: self._load(new))
            return
        whole = self._is_due("whole", now, WHOLE_SECONDS)
        overview = self._is_due("overview", now, OVERVIEW_SECONDS)
        gaps = overview or overviews.open_gaps(self._overview) > 0
        watched = {key: self._series[key] for key in self._followed if key in self._series}
        wanted = Wanted(
            feeds=self._feeds.read(),
            tails={key: one.changing_since(self.reader.now(), whole=whole) for key, one in watched.items()},
            gaps_since={key.symbol: one.begin for key, one in watched.items()} if gaps else {},
            quotes=list(self._symbols)[:LISTED] if overview else [],
            open_gaps=gaps,
            rejected=overview,
        )

        async def poll() -> None:
            async with self._turn:
                self._pace.begin(time.monotonic(), is_poll=True)
                answer = await self._in_thread(lambda: self.reader.poll(wanted))
                self._pace.end(time.monotonic(), answer.seconds)
            self._take(wanted, answer)

        if not await self._told(poll):
            self._due.clear()

    def _take(self, wanted: Wanted, answer: Answer) -> None:
        """Tell the viewers what this poll has brought."""
        (feeds,) = answer.parts["feeds"]
        now = time.monotonic()
        for row in feeds:
            self._pulse.add(row["feed"], now, row["events"])
        rows: dict[Key, list[Any]] = {key: [] for key in wanted.tails}
        for part in answer.parts.get("candles", ()):
            for row in part["candles"]:
                rows[Key(row[0], part["interval"])].append(row)
        for key, since in wanted.tails.items():
            # It is gone if its last viewer has left meanwhile.
            series = self._series.get(key)
            if series is not None and (changed := series.update(rows[key], since=since)):
                self.viewers.broadcast(message("candles", {**_named(key), "candles": changed}), key)
        for gaps in answer.parts.get("gaps", ()):
            self._take_gaps(wanted, gaps)
        overview = overviews.updated(self._overview, wanted, answer.parts, self._symbols)
        if overview != self._overview:
            self._overview = overview
            self.viewers.broadcast(message("overview", overview))
        words = feed_words.describe(wanted.feeds, feeds, self._pulse)
        self._answered_at = now
        self._tell({"tone": "good", "words": "connected"}, feeds=words, settings=self._feeds.trouble())

    def _take_gaps(self, wanted: Wanted, gaps: list[Any]) -> None:
        by_symbol: dict[str, list[Any]] = {symbol: [] for symbol in wanted.gaps_since}
        for gap in gaps:
            by_symbol[gap["symbol"]].append(gap)
        for symbol, found in by_symbol.items():
            if self._gaps.get(symbol) != found:
                self._gaps[symbol] = found
                content = message("gaps", {"symbol": symbol, "gaps": found})
                for viewer in self.viewers:
                    if viewer.key is not None and viewer.key.symbol == symbol:
                        viewer.put(content)

    async def _load(self, key: Key) -> None:
        answer = await self._request(lambda: self.reader.history(key))
        self._keep(key, answer)
        self._followed.add(key)
        self.viewers.broadcast(self._whole(key), key)

    async def _load_symbols(self) -> None:
        found = await self._request(self.reader.symbols)
        known, self._symbols = self._symbols, {symbol: (name, streamed) for symbol, name, streamed in found}
        if known.keys() != self._symbols.keys():
            self._due.pop("overview", None)
        if not found:
            self._due.pop("symbols", None)

    # The database, in turns.

    async def _request(self, ask: Callable[[], T], *, queries: int = 1) -> T:
        """Ask something that somebody waits for. Raises BusyError."""
        if self._waiting >= MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(self._pace.wait_of_request(time.monotonic()))
                self._pace.begin(time.monotonic(), queries=queries)
                return await self._in_thread(ask)
        finally:
            self._waiting -= 1

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        def asked() -> T:
            self._asking = True
            try:
                return ask()
            finally:
                self._asking = False

        return await asyncio.get_running_loop().run_in_executor(self._thread, asked)

    async def _told(self, ask: Callable[[], Awaitable[None]]) -> bool:
        """Ask, and tell the viewers if there is no answer; returns whether there was one."""
        task = asyncio.ensure_future(ask())
        begun = time.monotonic()
        try:
            while not (await asyncio.wait({task}, timeout=SLOW_SECONDS))[0]:
                waited = time.monotonic() - begun
                self._tell({"tone": "warn", "words": "slow", "detail": f"no answer for {waited:.0f} s; waiting for it"})
            await task
        except (psycopg2.Error, TicksPlatformError, BusyError) as error:
            self._tell(trouble(error, self.reader.database.description))
            self._pace.begin(time.monotonic())
            return False
        finally:
            task.cancel()
        return True

    def _tell(self, database: dict[str, Any], **more: Any) -> None:
        self._state = {**self._state, **more, "database": {**database, "name": self.reader.database.description}}
        self._state["at"] = self.reader.now()
        self.viewers.broadcast(message("state", self._state))

    # What is known.

    def _keep(self, key: Key, answer: Answer) -> None:
        (history,), (gaps,) = answer.parts["history"], answer.parts["gaps"]
        self._series[key] = Series.of_history(key, history)
        self._series.move_to_end(key)
        self._gaps[key.symbol] = gaps
        watched = self.viewers.watched()
        for other in [each for each in self._series if each not in watched][: max(0, len(self._series) - KEPT_SERIES)]:
            del self._series[other]
        for symbol in self._gaps.keys() - {each.symbol for each in self._series}:
            del self._gaps[symbol]

    def _content(self, key: Key) -> dict[str, Any]:
        gaps = self._gaps.get(key.symbol, [])
        return {**_named(key), "candles": self._series[key].points(), "gaps": gaps}

    def _whole(self, key: Key) -> bytes:
        return message("series", self._content(key))

    def _is_due(self, what: str, now: float, seconds: float) -> bool:
        if now < self._due.get(what, float("-inf")):
            return False
        self._due[what] = now + seconds
        return True


def _named(key: Key) -> dict[str, Any]:
    return {"symbol": key.symbol, "interval": key.interval}
