"""Finds trades that the provider sends again, so that each is stored once.

A trade is identified by symbol, exchange, trade id and day. One id with another price or size is another trade: it was
corrected, or the id says nothing, since all trades have it; three different ones of a day tell. Trades with such an id,
and those that have a size but no id, are identified by what they are (`equal_trades`). What has neither is no trade but
a price, and never a duplicate.

Hashes in memory tell which trades may have been stored before; only those are looked up in the table. So an ordinary
trade costs one search among hashes, whatever the size of the table and however often the process was restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds import coded
from ticks_platform.feeds.trade_ids import NO_IDENTITY, trade_days
from ticks_platform.hash_set import HashSet
from ticks_platform.ingestion.rows import equal_trades
from ticks_platform.ingestion.rows.equal_trades import Connection, Counted, EqualTrades, Origin
from ticks_platform.ingestion.rows.stored_trades import Base, Suspect, Suspects, conditions_text
from ticks_platform.ingestion.rows.tables import Rows

FILTER_CAPACITY = 500_000
"""Trades whose hashes are kept together; twice as many are remembered, in 8 MB. Older trades are looked up in the
table."""

LATE = 5_000_000_000
"""Nanoseconds of delay beyond the feed's least delay, from which on a trade is looked up in the table: a repair, which
this memory does not know of, may have stored it."""

_NEVER = -(2**63)

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without pattern in its bits: hashes of texts are multiplied by it before the next one is added."""

_MOST_CONSTANTS = 100_000
"""Ids that say nothing which are remembered; with more of them, they are found again."""


class TradeMemory:
    """Remembers the trades of one feed that were decoded recently."""

    def __init__(self) -> None:
        self.horizon: int | None = None
        """Latest event time, in nanoseconds, of stored trades that are not remembered here; None if there are none."""
        self.reloaded_until = 0
        """Latest event time, in nanoseconds, of rejected trades that were loaded again; 0 if there are none."""
        self._least_delay = 0
        self._is_first = True
        self._recent, self._older = HashSet(), HashSet()
        self._recent_until = self._older_until = _NEVER
        self._equal = EqualTrades()
        self._calls = 0
        self._numbered: dict[int, Counted] | None = None
        self.numbers: dict[int, Counted] = {}
        """The numbers that the last call gave, by position, to trades that are identified by what they are."""
        self._constants: dict[Base, None] = {}
        """Ids that were seen on different trades of a day."""

    def of_parts(self, numbers: dict[int, Counted]) -> TradeMemory:
        """A memory for parts of a batch that this one has numbered: their trades keep their `numbers`."""
        memory = TradeMemory()
        memory._constants = dict(self._constants)
        memory._numbered = numbers
        return memory

    def suspects(
        self, ticks: Rows, *, corrected: bool = False, origins: Callable[[Rows], list[Origin]] | None = None
    ) -> tuple[list[int], Suspects]:
        """Find the indexes of ticks that repeat an earlier one of these rows, and the ticks that may be stored already.

        Remembers all of them. `corrected` tells that some of them may correct others: then only one with the same
        price, size and conditions repeats an earlier one. `origins` tells where rows came from; without it, they are
        one delivery.
        """
        self.numbers = {}
        ids, sizes = ticks.texts("trade_id"), ticks.numbers("size")
        if not ticks.events or (ids is None and sizes is None):
            return [], Suspects()
        old = self._late(ticks.received_at - ticks.times("time"))
        if self.horizon is not None:
            old |= ticks.times("time") <= self.horizon
        old |= ticks.times("time") <= self.reloaded_until
        rows = _Trades(ticks, ids, sizes)
        nameless = self._without_identity(rows)
        named = rows.places if nameless is None else np.flatnonzero(rows.has_id & ~nameless)
        repeats: list[int] = []
        found: list[Suspect] = []
        only_old = named[:0]
        constant: set[int] = set()
        if len(named):
            repeats, found, only_old, constant = self._by_id(rows, named, old, corrected=corrected)
        if nameless is not None or constant:
            equal = np.zeros(len(old), np.bool_) if nameless is None else nameless
            equal[list(constant)] = True
            of_equal = self._by_content(rows, np.flatnonzero(equal), old, constant, origins)
            repeats, found = sorted([*repeats, *of_equal[0]]), sorted([*found, *of_equal[1]])
        suspects = Suspects(
            found, old=only_old.tolist(), symbols=rows.symbols, times=rows.times, make=partial(_old, rows)
        )
        # Last of all: where memory runs out before, the same trades come again, fewer at a time.
        self._equal.remember()
        self._rotate(int(ticks.times("time").max()))
        return repeats, suspects

    def learn(self, constants: Iterable[Base], until: int) -> None:
        """Ids that identify nothing; trades with them were stored up to `until`, and are not remembered by content."""
        new = [each for each in constants if each not in self._constants]
        if not new:
            return
        if len(self._constants) + len(new) > _MOST_CONSTANTS:
            self._constants.clear()
        self._constants.update(dict.fromkeys(new))
        self.horizon = until if self.horizon is None else max(self.horizon, until)

    def _without_identity(self, rows: _Trades) -> npt.NDArray[np.bool_] | None:
        """Which trades are identified by what they are; None if none is, as is usual."""
        if rows.ids is not None and None not in rows.ids and "" not in rows.ids and not self._constants:
            return None
        chosen = ~rows.has_id & rows.has_size
        if self._constants and rows.ids is not None:
            of_rows = zip(rows.symbols, rows.exchanges, rows.ids, strict=True)
            chosen |= np.fromiter((base in self._constants for base in of_rows), np.bool_, len(rows.ids))
        return chosen

    def _by_id(
        self, rows: _Trades, places: npt.NDArray[np.intp], old: npt.NDArray[np.bool_], *, corrected: bool
    ) -> tuple[list[int], list[Suspect], npt.NDArray[np.intp], set[int]]:
        """Repeats and suspects among these trades, those that are only old, and those whose ids say nothing."""
        whole = len(places) == len(old)
        columns = (rows.symbols, rows.exchanges, rows.ids or ())
        if not whole:
            columns = tuple([column[place] for place in places.tolist()] for column in columns)  # type: ignore[assignment]
        # Without the day, which is computed for the few suspects only.
        hashes = _hashes(columns)
        order = np.argsort(hashes)
        ordered = hashes[order]
        seen = np.empty(len(places), np.bool_)
        seen[order] = self._recent.contains(ordered) | self._older.contains(ordered)
        self._recent.add(ordered)
        # Which have the same hash as others here: repeats are among them.
        alike = np.zeros(len(places), np.bool_)
        same = ordered[1:] == ordered[:-1]
        alike[order[1:][same]] = alike[order[:-1][same]] = True
        old = old if whole else old[places]
        if not alike.any() and not seen.any() and not old.any():
            return [], [], places[:0], set()
        empty = np.zeros(len(places), np.bool_)
        if not NO_IDENTITY.isdisjoint(columns[2]):
            empty = np.fromiter((each in NO_IDENTITY for each in columns[2]), np.bool_, len(places))
        # Only these are looked at one by one.
        chosen = np.flatnonzero(alike | seen | empty)
        bases: list[Any] = [tuple(column[at] for column in columns) for at in chosen.tolist()]
        constant: set[Any] = {base for base in bases if base[2] in NO_IDENTITY}
        days = trade_days(rows.times[places[chosen]]).tolist()
        keys: list[Any] = [(*base, day) for base, day in zip(bases, days, strict=True)]
        data = [rows.data(place) for place in places[chosen].tolist()]
        by_key = _data_by_key(keys, data)
        if not corrected:
            constant |= {key[:3] for key, different in by_key.items() if len(different) > 2}
        self.learn(constant, int(rows.times.max()))
        found = [
            Suspect(int(places[at]), key, int(rows.times[places[at]]), *each, bool(seen[at]))
            for at, base, key, each in zip(chosen.tolist(), bases, keys, data, strict=True)
            if (seen[at] or old[at]) and base not in constant
        ]
        moved = {int(places[at]) for at, base in zip(chosen.tolist(), bases, strict=True) if base in constant}
        # Where one id has different data, each time is another trade.
        several = {key for key, different in by_key.items() if len(different) > 1}
        times = rows.times[places[chosen]].tolist()
        keys = [
            (*key, *each[:2], conditions_text(each[2]) if corrected else times[at] if key in several else None)
            for at, (key, each) in enumerate(zip(keys, data, strict=True))
        ]
        repeats = [int(places[chosen[at]]) for at in _repeats(keys)]
        old = old.copy()
        old[chosen] = False
        return [place for place in repeats if place not in moved], found, places[old], moved

    def _by_content(
        self,
        rows: _Trades,
        places: npt.NDArray[np.intp],
        old: npt.NDArray[np.bool_],
        doubtful: set[int],
        origins: Callable[[Rows], list[Origin]] | None,
    ) -> tuple[list[int], list[Suspect]]:
        """Repeats and suspects among these trades; `doubtful` ones may have been stored by their ids."""
        chosen = np.zeros(len(old), np.bool_)
        chosen[places] = True
        contents = [rows.content(place) for place in places.tolist()]
        positions = rows.ticks.positions[places].tolist()
        if self._numbered is not None and all(position in self._numbered for position in positions):
            counted = [self._numbered[position] for position in positions]
            numbered = equal_trades.numbered(contents, [each.number for each in counted])
        else:
            self._calls += 1
            nowhere = Origin(None, 0, self._calls)
            came_from = [nowhere] * len(places) if origins is None else origins(rows.ticks.where(chosen))
            numbered = self._equal.number(contents, came_from)
            counted = [
                Counted(each.number, _counted_on(origin)) for each, origin in zip(numbered, came_from, strict=True)
            ]
        self.numbers = dict(zip(positions, counted, strict=True))
        repeats, found = [], []
        for place, content, trade, of in zip(places.tolist(), contents, numbered, counted, strict=True):
            if trade.is_repeat:
                repeats.append(place)
            elif trade.seen or old[place] or place in doubtful:
                time = int(rows.times[place])
                key = (*content[:3], int(trade_days(rows.times[place : place + 1])[0]))
                found.append(Suspect(place, key, time, *rows.data(place), trade.seen, of.number, of.connection))
        return repeats, found

    def _late(self, delays: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which ticks are late, compared with the batches before; the first batch is compared with no delay."""
        late: npt.NDArray[np.bool_] = delays > self._least_delay + LATE
        least = int(delays.min())
        self._least_delay = least if self._is_first else min(least, self._least_delay)
        self._is_first = False
        return late

    def _rotate(self, until: int) -> None:
        self._recent_until = max(self._recent_until, until)
        if max(self._recent.size, self._equal.size) >= FILTER_CAPACITY:
            if self._older_until > _NEVER:
                self.horizon = max(self._older_until, self.horizon if self.horizon is not None else self._older_until)
            self._older, self._older_until = self._recent, self._recent_until
            self._recent, self._recent_until = HashSet(), _NEVER
            self._equal.rotate()


class _Trades:
    """The fields of ticks that identify trades."""

    def __init__(self, ticks: Rows, ids: Sequence[Any] | None, sizes: npt.NDArray[np.float64] | None) -> None:
        self.ticks = ticks
        self.ids = ids
        self.symbols, self.exchanges = ticks.column("symbol"), ticks.column("exchange")
        self.times = ticks.times("time")
        self._sizes = sizes
        self._prices = ticks.numbers("price")
        self._conditions: Sequence[Any] | None = None

    @property
    def places(self) -> npt.NDArray[np.intp]:
        return np.arange(len(self.symbols))

    @property
    def has_id(self) -> npt.NDArray[np.bool_]:
        count = len(self.symbols)
        return np.zeros(count, np.bool_) if self.ids is None else np.fromiter(map(bool, self.ids), np.bool_, count)

    @property
    def has_size(self) -> npt.NDArray[np.bool_]:
        return np.zeros(len(self.symbols), np.bool_) if self._sizes is None else ~np.isnan(self._sizes)

    def data(self, place: int) -> tuple[float, float | None, Any]:
        """Price, size and conditions of a trade."""
        if self._conditions is None:
            self._conditions = self.ticks.column("conditions")
        assert self._prices is not None
        size = None if self._sizes is None or np.isnan(self._sizes[place]) else float(self._sizes[place])
        return float(self._prices[place]), size, self._conditions[place]

    def content(self, place: int) -> tuple[Any, ...]:
        """What a trade is."""
        price, size, conditions = self.data(place)
        trade_id = (self.ids[place] or None) if self.ids is not None else None
        of_any_order = tuple(sorted(conditions)) if conditions else None
        time = int(self.times[place]) // 1000
        return self.symbols[place], self.exchanges[place], trade_id, time, price, size, of_any_order


def _counted_on(origin: Origin) -> Connection | None:
    """The connection whose stored trades precede those of a frame; a frame that comes again counts by itself."""
    return origin.delivery if isinstance(origin.delivery, Connection) and not origin.is_again else None


def _old(rows: _Trades, places: Sequence[int]) -> list[Suspect]:
    """Trades that this process has not seen, and that are too old to tell."""
    days = trade_days(rows.times[list(places)]).tolist()
    found = []
    for place, day in zip(places, days, strict=True):
        key: Any = (rows.symbols[place], rows.exchanges[place], rows.ids and rows.ids[place], day)
        found.append(Suspect(place, key, int(rows.times[place]), *rows.data(place), False))
    return found


def _hashes(columns: Sequence[Sequence[Any]]) -> npt.NDArray[np.int64]:
    """A hash of each row of these columns."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found = found * _FACTOR + coded.hashes(column).view(np.uint64)
    return found.view(np.int64)


def _data_by_key(keys: list[Any], data: list[Any]) -> dict[Any, set[Any]]:
    """The different prices and sizes of each key."""
    found: dict[Any, set[Any]] = {}
    for key, each in zip(keys, data, strict=True):
        found.setdefault(key, set()).add(each[:2])
    return found


def _repeats(keys: Sequence[tuple[Any, ...]]) -> list[int]:
    """The indexes of keys that occur earlier in the list."""
    before: set[tuple[Any, ...]] = set()
    places = []
    for place, key in enumerate(keys):
        if key in before:
            places.append(place)
        before.add(key)
    return places


def split(ticks: Rows, places: list[int]) -> tuple[Rows, Rows]:
    """The rows that are not at these indexes, and those that are."""
    if not places:
        return ticks, ticks.part(0, 0)
    chosen = np.zeros(len(ticks.events), dtype=np.bool_)
    chosen[places] = True
    return ticks.where(~chosen), ticks.where(chosen)


def replacements(refused: Set[int], ticks: Rows, repeats: Rows) -> tuple[Rows, Rows]:
    """The first repeat of each tick that the database refused (given by position), and the other repeats."""
    if not refused or not repeats.events:
        return ticks.part(0, 0), repeats
    missing = {key for key, position in zip(_keys(ticks), ticks.positions.tolist(), strict=True) if position in refused}
    chosen = []
    for place, key in enumerate(_keys(repeats)):
        if key in missing:
            missing.remove(key)
            chosen.append(place)
    others, first = split(repeats, chosen)
    return first, others


def _keys(ticks: Rows) -> list[tuple[Any, ...]]:
    rows = _Trades(ticks, ticks.texts("trade_id"), ticks.numbers("size"))
    places, days = range(len(rows.symbols)), trade_days(rows.times).tolist()
    contents = map(rows.content, places)
    # A trade with an id may come again with another time.
    return [
        (*content[:3], days[place] if content[2] else content[3], *content[4:6])
        for place, content in zip(places, contents, strict=True)
    ]
