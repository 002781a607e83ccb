"""What `proven_candle` said in the middle of the field campaign, and whether that was so, by the server's account.

Proofs are made as checks make them, gaps repaired and days trued up as by schedule. What judges them is the market's
own account: each candle's prices, volume and count, as of the moment by which it says that it has everything.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.repair import true_up
from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.timescale.candles import proving, reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.processes import PATIENCE, CampaignError
from ticks_platform_tests.field.account import Gaps
from ticks_platform_tests.field.machine import KEY_VARIABLE
from ticks_platform_tests.field.market import ASKED, OPTIONS, PRICES, STOCKS, SYMBOLS, Key
from ticks_platform_tests.field.past import Past
from ticks_platform_tests.field.server import KEY, Sent
from ticks_platform_tests.support import repairing
from ticks_platform_tests.support.candles import refresh

_WIDTHS = {"1m": 60, "1h": 3_600, "1d": 86_400}

_DAY = timedelta(days=1)

_PATIENCE = 4.0
"""Seconds to wait for the owners of journals, which tell of them every two. Some are on a machine that is off."""

_SAID = """
SELECT every, extract(epoch FROM bucket)::float8, symbol, open, high, low, close, volume, price_count, proof,
    extract(epoch FROM proven_at)::float8
FROM proven_candle
WHERE every = ANY (%s) AND proof IN ('proven', 'final')
"""

_FETCHED = """
INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state)
SELECT 'prices', symbol, 'trades', %(begin)s, %(end)s, 'done' FROM unnest(%(symbols)s) AS symbol
"""
"""The prices of a day that is over: as if they had been fetched, which their provider does not offer."""


class Said(NamedTuple):
    """A candle that was proven."""

    every: str
    bucket: float
    symbol: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    formed_by: int
    """The number of ticks that make its prices: all but what is known to be taken back."""
    proof: str
    proven_at: float


class Proofs:
    """Proves candles now and then, and remembers what was said."""

    def __init__(
        self, database: Database, past: Past, folder: Path, settings: Callable[[str], dict[str, object]]
    ) -> None:
        """`settings` are those of a feed as in feeds.yaml."""
        self.said: dict[Said, float] = {}
        """When each was said first."""
        self._database = database
        self._past = past
        self._folder = folder
        self._settings = settings
        self._arrived: list[tuple[float, float]] = []
        """Moments, and when everything that the market had before it had arrived."""
        self._trued_up: dict[date, tuple[float, float]] = {}
        """By day: begin and end of its true-up."""

    def everything_arrived(self, since: float) -> None:
        """All that the market had by this moment has reached a journal, or lies in a gap."""
        self._arrived.append((time.time(), since))

    @contextlib.contextmanager
    def _stocks(self) -> Iterator[FeedSettings]:
        with mock.patch.dict(os.environ, {KEY_VARIABLE: KEY}):
            yield FeedSettings.model_validate(self._settings(STOCKS))

    def repair(self) -> None:
        """Fetch the gaps of the feed whose provider has trades."""
        with self._database.transaction() as cursor:
            for feed in ASKED:
                gaps.update(cursor, feed, now=datetime.now(timezone.utc))
        with self._stocks() as stocks:
            repairing.repair(self._database, stocks, self._folder)
            refresh(self._database)
            repairing.close_gaps(self._database, stocks)

    def fetch(self, day: date) -> None:
        """Fetch a day that is over, as a user does for the time before a symbol was in feeds.yaml."""
        begin = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        parameters = {"begin": begin, "end": begin + _DAY, "symbols": list(SYMBOLS[PRICES])}
        with self._database.transaction() as cursor:
            cursor.execute(_FETCHED, parameters)
        with self._stocks() as feed:
            intervals = [SymbolInterval(symbol, begin, begin + _DAY) for symbol in SYMBOLS[STOCKS]]
            repairing.repair(self._database, feed, self._folder, intervals=intervals)
            refresh(self._database)
            repairing.close_gaps(self._database, feed)

    def true_up(self, day: date) -> None:
        """Make the true-up of a day that is over. Raises CampaignError if it does not end."""
        began = time.time()
        with self._stocks() as feed:
            history = feed.history()
            assert history is not None
            deadline = time.monotonic() + PATIENCE
            while True:
                report = true_up.run(
                    feed=feed,
                    history=history,
                    database=self._database,
                    day=day,
                    owner=str(uuid.uuid4()),
                    folder=self._folder,
                    seconds=30.0,
                    backoff=0.05,
                )
                if report.done == len(SYMBOLS[STOCKS]):
                    break
                if time.monotonic() > deadline:
                    raise CampaignError(f"the true-up of {day} does not end: {report}")
                self.repair()
        self._trued_up[day] = (began, time.time())

    def prove(self) -> None:
        """Prove what can be, as checks do, and remember what is proven."""
        refresh(self._database)
        with self._database.autocommit() as cursor:
            audit.hours(cursor)
            untils = proving.received_until(cursor, patience=_PATIENCE)
            compared = reconciliation.reconcile(cursor)
            proving.note_true_ups(cursor, {STOCKS: True, OPTIONS: False, PRICES: False})
        with self._database.transaction() as cursor:
            for feed in ASKED:
                gaps.update(cursor, feed, now=datetime.now(timezone.utc))
        with self._database.autocommit() as cursor:
            proving.record(cursor, untils, compared)
            cursor.execute(_SAID, (list(_WIDTHS),))
            found = [Said(*row) for row in cursor.fetchall()]
        now = time.time()
        for candle in found:
            self.said.setdefault(candle, now)

    def problems(self, sent: Sequence[Sent], known: dict[tuple[str, str], Gaps]) -> list[str]:
        """Candles that were proven, and not what the market had by then. `known` are all gaps that ever were."""
        buckets: dict[tuple[str, int, str], list[Sent]] = defaultdict(list)
        for each in sent:
            key = each.event.key
            if isinstance(key, Key):
                for every, width in _WIDTHS.items():
                    buckets[every, key.microseconds // 1_000_000 // width * width, key.symbol].append(each)
        judged = _Judge(self._past, self._arrived, self._trued_up, known)
        found = []
        for candle, said_at in self.said.items():
            of_bucket = buckets.get((candle.every, int(candle.bucket), candle.symbol), [])
            problem = judged.problem(candle, said_at, of_bucket)
            if problem is not None:
                found.append(f"{candle.proof} by {candle.proven_at:.3f}, but {problem}: {candle}")
        return found[:10]

    def kinds(self) -> Counter[tuple[str, str, str]]:
        """How many candles were proven: by feed, whether final, and length."""
        feeds = {symbol: feed for feed, symbols in SYMBOLS.items() for symbol in symbols}
        return Counter((feeds[each.symbol], each.proof, each.every) for each in self.said)


class _Judge:
    def __init__(
        self,
        past: Past,
        arrived: Sequence[tuple[float, float]],
        trued_up: dict[date, tuple[float, float]],
        known: dict[tuple[str, str], Gaps],
    ) -> None:
        self._past = past
        self._arrived = arrived
        self._trued_up = trued_up
        self._known = known
        self._corrected = {each.correct: each.at for each in past.taken_back.values() if each.correct is not None}

    def problem(self, said: Said, said_at: float, events: Sequence[Sent]) -> str | None:
        """What is wrong with a candle, given all events of its time that the market ever had."""
        must: list[Key] = []
        may: list[Key] = []
        place = bisect_right(self._arrived, (said.proven_at, float("inf")))
        arrived = self._arrived[place - 1][1] if place else 0.0
        day = datetime.fromtimestamp(said.bucket, timezone.utc).date()
        began, ended = self._trued_up.get(day, (float("inf"), float("inf")))
        if said.proof != "final" or said_at < ended:
            began = 0.0
        for each in events:
            key = each.event.key
            assert isinstance(key, Key)
            back, since = self._past.taken_back.get(key), self._corrected.get(key)
            # What a true-up was told before it began is true of what is final.
            if back is not None and back.at <= began:
                continue
            if each.at > said_at:
                continue
            may.append(key)
            is_told = self._past.has(key) and each.at <= began
            is_sure = back is None and (since is None or since <= began)
            if is_sure and (is_told or (each.at <= arrived and self._must_have_arrived(each, said))):
                must.append(key)
        return _problem(said, must, may)

    def _must_have_arrived(self, each: Sent, said: Said) -> bool:
        """Unless it was sent in a gap that does not lie in the candle's time, or its fields are odd."""
        key = each.event.key
        assert isinstance(key, Key)
        if key.feed == STOCKS and not self._past.has(key):
            return False
        gap = self._known.get((key.feed, key.symbol))
        times = [each.at, *each.handed]
        if gap is None or not any(gap.hold(at) for at in times):
            return True
        return key.feed == STOCKS and any(
            gap.hold(at) and said.bucket <= at < said.bucket + _WIDTHS[said.every] for at in times
        )


def _problem(said: Said, must: Sequence[Key], may: Sequence[Key]) -> str | None:
    if not len(must) <= said.formed_by <= len(may):
        return f"it had {len(must)} to {len(may)} ticks"
    if not said.formed_by:
        return None if (said.open, said.high, said.low, said.close, said.volume) == (None,) * 5 else "it has prices"
    prices = {key.price for key in may}
    for name, price in (("opens", said.open), ("closes", said.close), ("high is", said.high), ("low is", said.low)):
        if price not in prices:
            return f"it {name} with a price that the market did not have"
    if must and ((said.high or 0) < max(key.price for key in must) or (said.low or 0) > min(key.price for key in must)):
        return "it lacks a price"
    if must and said.open not in _prices(may, until=min(key.microseconds for key in must)):
        return "it does not open with its first price"
    if must and said.close not in _prices(may, since=max(key.microseconds for key in must)):
        return "it does not close with its last price"
    if may[0].feed == STOCKS:
        least, most = (sum(key.size or 0 for key in keys) for keys in (must, may))
        if not least <= (said.volume or 0) <= most:
            return f"it had a volume of {least} to {most}"
    return None


def _prices(keys: Iterable[Key], *, until: float = float("inf"), since: float = 0) -> set[float]:
    return {key.price for key in keys if since <= key.microseconds <= until}
