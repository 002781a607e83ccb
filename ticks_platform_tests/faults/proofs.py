"""What `proven_candle` said in the middle of a campaign, and whether that was so, by the notes of what was received.

It shares no code with what proves: a candle is compared with the frames of the journals, as the ingesters noted them.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import msgspec
from typing_extensions import Self

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.timescale.candles import proving, reconciliation
from ticks_platform.timescale.database import Database
from ticks_platform_tests.faults.events import Row, Tape
from ticks_platform_tests.faults.ingester import FEED, Group
from ticks_platform_tests.support.candles import refresh

_WIDTHS = {"1m": 60, "1h": 3_600, "1d": 86_400}

_BEFORE = """
INSERT INTO ticks_platform.feed_repair (feed, symbol, kind, begins_at, ends_at, state)
SELECT feed, symbol, 'trades', '1980-01-01', max(wanted_from), 'done'
FROM ticks_platform.feed_symbol AS known
WHERE NOT EXISTS (SELECT FROM ticks_platform.feed_repair AS fetched WHERE fetched.symbol = known.symbol)
GROUP BY feed, symbol
"""
"""Late ticks are of times before the feed began: as if these had been fetched."""


class Proven(NamedTuple):
    """A candle that was proven, and how much of the notes there was after that was said."""

    every: str
    bucket: float
    symbol: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    ticks: int
    proof: str
    proven_at: float
    noted: int


class Proofs:
    """Proves candles now and then, and remembers what was said. A context manager, which notes when what was noted."""

    def __init__(self, database: Database, side_file: Path) -> None:
        self.said: list[Proven] = []
        self._database = database
        self._side_file = side_file
        self._marks: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._mark, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _size(self) -> int:
        return self._side_file.stat().st_size if self._side_file.exists() else 0

    def _mark(self) -> None:
        """The size of the notes is read first: they are those of before the time that stands beside it."""
        while not self._over.wait(0.05):
            size = self._size()
            self._marks.append((time.time(), size))

    def prove(self) -> None:
        """Prove what can be, as checks do, and remember what is proven."""
        refresh(self._database)
        with self._database.transaction() as cursor:
            cursor.execute(_BEFORE)
        with self._database.autocommit() as cursor:
            audit.hours(cursor)
            untils = proving.received_until(cursor)
            compared = reconciliation.reconcile(cursor)
            proving.note_true_ups(cursor, {FEED: False})
        with self._database.transaction() as cursor:
            gaps.update(cursor, FEED, now=datetime.now(timezone.utc))
        with self._database.autocommit() as cursor:
            proving.record(cursor, untils, compared)
            cursor.execute(
                "SELECT every, extract(epoch FROM bucket)::float8, symbol, open, high, low, close, tick_count, proof, "
                "extract(epoch FROM proven_at)::float8 FROM proven_candle "
                "WHERE every = ANY (%s) AND proof IN ('proven', 'final')",
                (list(_WIDTHS),),
            )
            found = cursor.fetchall()
        noted = self._size()
        self.said += [Proven(*row, noted) for row in found]

    def problems(self, tape: Tape) -> list[str]:
        """Candles that were proven, and not what had been received by then."""
        rows = _Received(self._side_file, tape)
        found = []
        for each in dict.fromkeys(self.said):
            place = bisect_right(self._marks, (each.proven_at, 0))
            before = self._marks[place - 1][1] if place else 0
            problem = rows.problem(each, before)
            if problem is not None:
                found.append(f"{each.proof} at {each.proven_at:.1f}, but {problem}: {each}")
        return found[:10]


class _Noted(NamedTuple):
    at: int
    """The end of its note in the file."""
    journal: str
    price: float
    time: int
    """Of the event, in microseconds."""
    place: tuple[int, int]
    """In its journal: of its group, and in that."""


class _Received:
    """The ticks of each candle in the journals, in the order of the notes."""

    def __init__(self, side_file: Path, tape: Tape) -> None:
        payloads = tape.by_digest()
        self._ticks: dict[tuple[str, int, str], list[_Noted]] = {}
        seen: set[tuple[str, int]] = set()
        at = 0
        for line in side_file.read_bytes().splitlines(keepends=True):
            at += len(line)
            try:
                note = msgspec.json.decode(line, type=Group)
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue
            # A group is noted again when it is loaded.
            if (note.journal, note.position) in seen:
                continue
            seen.add((note.journal, note.position))
            for number, each in enumerate(note.digests):
                row = payloads.get(each)
                if row is not None:
                    place = (note.position, number)
                    self._add(row, _Noted(at, note.journal, row.price, row.microseconds, place))

    def _add(self, row: Row, noted: _Noted) -> None:
        seconds = row.microseconds // 1_000_000
        for every, width in _WIDTHS.items():
            self._ticks.setdefault((every, seconds // width * width, row.symbol), []).append(noted)

    def problem(self, candle: Proven, before: int) -> str | None:
        """What is wrong with a candle that has what was noted up to `before`, and nothing that was not by its end."""
        known = self._ticks.get((candle.every, int(candle.bucket), candle.symbol), [])
        must = [each for each in known if each.at <= before]
        may = [each for each in known if each.at <= candle.noted]
        if not _least(must) <= candle.ticks <= len(may):
            return f"it had {_least(must)} to {len(may)} ticks"
        if must and not (
            (candle.high or 0) >= max(each.price for each in must)
            and (candle.low or 0) <= min(each.price for each in must)
        ):
            return "it lacks a price"
        prices = {each.price for each in may}
        if candle.high not in prices or candle.low not in prices:
            return "it has a price that was not received"
        if candle.open not in _ends(must, may, first=True):
            return "it does not open with its first price"
        if candle.close not in _ends(must, may, first=False):
            return "it does not close with its last price"
        return None


def _least(ticks: Iterable[_Noted]) -> int:
    """How many ticks these are at least: what two machines received is stored once."""
    numbers = Counter((each.price, each.journal) for each in ticks)
    most: dict[float, int] = {}
    for (price, _), number in numbers.items():
        most[price] = max(number, most.get(price, 0))
    return sum(most.values())


def _ends(must: Iterable[_Noted], may: Iterable[_Noted], *, first: bool) -> set[float]:
    """The prices that may be the first of a candle, or the last: none that it must have is certainly beyond them.

    Of one time, the journal tells the order. Of what two machines received, either may be the one that is stored.
    """
    certain, journals = list(must), defaultdict(set)
    for each in may:
        journals[each.price].add(each.journal)
    ends: dict[str, tuple[int, tuple[int, int]]] = {}
    pick = min if first else max
    for each in certain:
        if len(journals[each.price]) == 1:
            ends[each.journal] = pick(ends.get(each.journal, (each.time, each.place)), (each.time, each.place))
    if not certain:
        return {each.price for each in may}
    end = pick(each.time for each in certain)

    def is_beyond(each: _Noted) -> bool:
        if each.time != end:
            return each.time > end if first else each.time < end
        known = ends.get(each.journal)
        if known is None or known[0] != end:
            return False
        return each.place > known[1] if first else each.place < known[1]

    return {each.price for each in may if not is_beyond(each)}
