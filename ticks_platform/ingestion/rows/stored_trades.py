"""Which trades the table has already, of those that may be stored (`duplicate_trades`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.trade_ids import trade_day_begin
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_MANY = 100
"""Old trades for which it pays to ask first whether the table has anything of their symbols and times."""

Key = tuple[str, str | None, str | None, int]
"""Symbol, exchange, trade id, day."""

Base = tuple[str, str | None, str]
"""Symbol, exchange, trade id."""


class Suspect(NamedTuple):
    """A trade that may have been stored before."""

    place: int
    """Its index among the rows."""
    key: Key
    time: int
    """Event time in nanoseconds since the Unix epoch."""
    price: float
    size: float | None
    conditions: Any
    """None, or a tuple of numbers."""
    seen: bool
    """Whether this process has probably decoded a trade with this key; otherwise the trade is too old to tell."""
    number: int | None = None
    """How many equal trades precede it, if its id does not identify it, as far as this process has seen."""
    connection: tuple[int, int] | None = None
    """Epoch and connection that brought it; None if it was fetched, or its frame comes again."""


class Suspects(Sequence[Suspect]):
    """Trades that may have been stored before, in their order.

    Of those that are only old, a backlog has as many as trades: they are made one by one where the table has ticks of
    their symbols and times at all.
    """

    def __init__(
        self,
        known: list[Suspect] | None = None,
        *,
        old: Sequence[int] = (),
        symbols: Sequence[Any] = (),
        times: npt.NDArray[np.int64] | None = None,
        make: Callable[[Sequence[int]], list[Suspect]] = lambda _places: [],
    ) -> None:
        """`old` are places that are not among the `known`; `symbols` and `times` are of all rows. `make` makes them."""
        self._known = known or []
        self._old, self._symbols, self._times, self._make = old, symbols, times, make

    def __len__(self) -> int:
        return len(self._known) + len(self._old)

    @overload
    def __getitem__(self, place: int) -> Suspect: ...

    @overload
    def __getitem__(self, place: slice) -> list[Suspect]: ...

    def __getitem__(self, place: int | slice) -> Suspect | list[Suspect]:
        return self._all(self._old)[place]

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self._all(self._old))

    def worth_looking_up(self, cursor: Cursor) -> list[Suspect]:
        """Without the old ones of whose symbols the table has nothing in their time: none of them is stored."""
        if len(self._old) < _MANY or self._times is None:
            return list(self)
        of_old = [self._symbols[place] for place in self._old]
        times = self._times[self._old]
        symbols = [symbol for symbol in dict.fromkeys(of_old) if _is_text(symbol)]
        first, last = (from_nanoseconds(int(time)) for time in (times.min(), times.max()))
        parameters = {"symbols": symbols, "first": first, "last": last}
        cursor.execute(sql_files.read("queries/rows/symbols_with_ticks.sql"), parameters)
        stored = {row[0] for row in cursor.fetchall()}
        return self._all([place for place, symbol in zip(self._old, of_old, strict=True) if symbol in stored])

    def _all(self, old: Sequence[int]) -> list[Suspect]:
        return sorted([*self._known, *self._make(old)], key=attrgetter("place"))


def stored_until(cursor: Cursor, feed: str) -> int | None:
    """Event time of a feed's newest stored tick, in nanoseconds; None if no tick was ever loaded.

    Only the last hour that was loaded is searched. If none of its ticks are left, the end of that hour is returned,
    since ticks of earlier hours may still be stored.
    """
    cursor.execute(sql_files.read("queries/rows/last_stored_tick.sql"), {"feed": feed})
    row = cursor.fetchone()
    return row[0] if row else None


class JournalBefore(NamedTuple):
    """A journal as its owner found it."""

    epoch: int
    """The owner's."""
    number: int
    committed: int
    """The position up to which it was committed."""


class Found(NamedTuple):
    """What the table says of suspects."""

    stored: list[int]
    """The indexes of those that are in the table, usually with the same event time."""
    constants: list[Base]
    """Ids that the table has on different trades of their day."""


def stored_before(cursor: Cursor, feed: str, journal: JournalBefore, suspects: Sequence[Suspect]) -> Found:
    """Which of the suspects, of this journal, are in the table."""
    if isinstance(suspects, Suspects):
        suspects = suspects.worth_looking_up(cursor)
    suspects = [suspect for suspect in suspects if _can_be_stored(suspect.key)]
    if not suspects:
        return Found([], [])
    found = set(_equal_before(cursor, feed, journal, [suspect for suspect in suspects if suspect.number is not None]))
    named = [suspect for suspect in suspects if suspect.number is None]
    found.update(_at_the_same_time(cursor, feed, named))
    # A trade that was seen and is not found was rejected, or has another time or id now: search the whole day.
    rest = [suspect for suspect in named if suspect.seen and suspect.place not in found]
    constants: list[Base] = []
    base_of: dict[int, Any] = {suspect.place: suspect.key[:3] for suspect in rest}
    for place, is_stored, is_constant in _on_the_same_day(cursor, feed, rest):
        if is_constant:
            constants.append(base_of[place])
        elif is_stored:
            found.add(place)
    return Found(sorted(found), constants)


def _can_be_stored(key: Key) -> bool:
    """Whether the database accepts this text; if not, it has never stored the trade, and a query would fail."""
    return _is_text(*key[:3])


def _is_text(*parts: Any) -> bool:
    try:
        return "\0" not in "".join(part for part in parts if part).encode().decode()
    except (TypeError, UnicodeEncodeError):
        return False


def _at_the_same_time(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[int]:
    if not suspects:
        return []
    cursor.execute(sql_files.read("queries/rows/trades_at_same_time.sql"), _at_their_times(feed, suspects))
    return [row[0] for row in cursor.fetchall()]


def _equal_before(cursor: Cursor, feed: str, journal: JournalBefore, suspects: list[Suspect]) -> list[int]:
    """Those before which more equal trades are stored than precede them."""
    if not suspects:
        return []
    # What an earlier owner received may be committed in part: that part is not counted in this process.
    begun = [each.connection if each.connection and each.connection[0] != journal.epoch else None for each in suspects]
    parameters = {
        **_at_their_times(feed, suspects),
        "numbers": [suspect.number for suspect in suspects],
        "epochs": [each and each[0] for each in begun],
        "connections": [each and each[1] for each in begun],
        "journal": journal.number,
        "committed": journal.committed,
    }
    cursor.execute(sql_files.read("queries/rows/equal_trades.sql"), parameters)
    return [row[0] for row in cursor.fetchall()]


def _at_their_times(feed: str, suspects: list[Suspect]) -> dict[str, Any]:
    times = [from_nanoseconds(suspect.time) for suspect in suspects]
    return {**_columns(suspects), "times": times, "first": min(times), "last": max(times), "feed": feed}


def _on_the_same_day(cursor: Cursor, feed: str, suspects: list[Suspect]) -> list[tuple[int, bool, bool]]:
    """Of those whose id is stored: their place, whether they are, and whether the id says nothing."""
    if not suspects:
        return []
    days = [from_nanoseconds(trade_day_begin(suspect.key[3])) for suspect in suspects]
    parameters = {**_columns(suspects), "days": days, "first": min(days), "last": max(days), "feed": feed}
    cursor.execute(sql_files.read("queries/rows/trades_on_same_day.sql"), parameters)
    return cursor.fetchall()


def _columns(suspects: list[Suspect]) -> dict[str, list[Any]]:
    """Indexes and keys of suspects by column, named as in the queries."""
    symbols, exchanges, trade_ids = ([suspect.key[field] for suspect in suspects] for field in range(3))
    places = [suspect.place for suspect in suspects]
    prices, sizes = [suspect.price for suspect in suspects], [suspect.size for suspect in suspects]
    return {
        "places": places,
        "symbols": symbols,
        "exchanges": exchanges,
        "trade_ids": trade_ids,
        "prices": prices,
        "sizes": sizes,
        "conditions": [conditions_text(suspect.conditions) or "{}" for suspect in suspects],
    }


def conditions_text(conditions: Any) -> str | None:
    """Conditions as a parameter of a query, where lists of different lengths make no array; None if there are none.

    What the column cannot hold is left out: no tick with it is stored.
    """
    if not isinstance(conditions, (tuple, list)):
        return None
    return "{" + ",".join(str(each) for each in conditions if isinstance(each, int) and abs(each) < 1 << 15) + "}"
