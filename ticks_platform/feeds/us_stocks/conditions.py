"""Conditions of US stock trades: what a trade may change in a candle, and which of them are official prices.

The rules are data: `sql/schema/trade_condition.csv`, to which rows are only added. A rule holds from midnight in New
York of its `valid_from` until a newer one of the same condition; of several with the same `valid_from`, that of the
greatest `rules_version` holds. Ticks that are stored follow a change when their bits are computed again
(`ingestion.eligibility`).

Sources: `/v3/reference/conditions?asset_class=stocks`, `update_rules.consolidated` (a captured answer in
Autinhorse/DayTrader, config/trade_conditions.json at 1eef00cb); the knowledge base (how-does-polygon-create-the-ohlcv-
aggregate-bars; does-a-form-t-trade-update-…: prices of extended hours come of Form T trades all the same); UTDF
specification 7.5.3 (official prices repeat trades). See docs/conditions.md.
"""

from __future__ import annotations

import csv
import functools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.columns import Floats
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.updates import ALL, HIGH_LOW, OPEN_CLOSE, VOLUME
from ticks_platform.feeds.us_stocks.regular_hours import Hours, hours_at, start_of_day
from ticks_platform.paths import shipped

FORM_T = 12
"""Traded in extended hours. There it restricts nothing by itself; in regular hours its row in the table applies."""

OfficialKind = Literal["open", "close", "corrected_close"]

OFFICIAL: dict[int, OfficialKind] = {38: "corrected_close", 15: "close", 16: "open"}
"""Conditions of messages that are no trades but an exchange's official price."""

_LISTING: dict[str, frozenset[str]] = {
    "1": frozenset({"10"}),
    "2": frozenset({"1", "11", "19"}),
    "3": frozenset({"12"}),
}
"""The exchanges that list the stocks of a tape: 1 NYSE; 2 NYSE American, NYSE Arca and Cboe BZX; 3 Nasdaq.
Source: `/v3/reference/exchanges?asset_class=stocks`, and the plans of the tapes (CTA for 1 and 2, UTP for 3)."""

_GREATEST = 2**15 - 1
"""The greatest condition that the table's column can hold."""

_REMEMBERED = 4096
"""Different lists of conditions that are remembered. A trading day has a few hundred."""

_MOST_PERIODS = 16
"""Times between changes of what conditions allow for which many trades are looked up together; four are a day."""

_LONGEST = 64
"""Bytes of a list that is remembered."""


class Rule(NamedTuple):
    """A row of the table."""

    rules_version: int
    valid_from: date
    provider: str
    condition: int
    name: str
    letters: str
    """The letters of the SIPs for it."""
    updates_open_close: bool
    updates_high_low: bool
    updates_volume: bool

    @property
    def updates(self) -> int:
        """What the condition allows, as bits of `feeds.updates`."""
        flags = (
            (OPEN_CLOSE, self.updates_open_close),
            (HIGH_LOW, self.updates_high_low),
            (VOLUME, self.updates_volume),
        )
        return sum(bit for bit, allowed in flags if allowed)


class Conditions:
    """The conditions of a trade, read and looked up."""

    __slots__ = ("allowed", "by_hours", "ids", "malformed", "official")

    def __init__(self, ids: tuple[int, ...], allowed: tuple[tuple[int | None, int | None], ...]) -> None:
        self.ids = ids or None
        self.malformed: tuple[str, ...] | None = None
        """The name of their field, if some could not be read."""
        self.allowed = allowed
        """What they allow outside and inside regular hours, by period of the rules; None for everything."""
        self.by_hours = FORM_T in ids
        self.official = next((kind for id_, kind in OFFICIAL.items() if id_ in ids), None)


class Rules:
    """The rules of all conditions, at all times."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        days = sorted({rule.valid_from for rule in self.rules})
        # Before the first rule, nothing is restricted.
        self._starts = [start_of_day(day) for day in days]
        self._newest = self._starts[-1] if days else 0
        self._periods: list[dict[int, int]] = [{}, *map(self._on, days)]
        # The period that was found last: the next moment is mostly in the same one.
        self._hours = Hours(0, 0, False)
        self.read: Callable[[bytes], Conditions] = _Memory(self).__getitem__
        """The conditions of a trade as the provider sent them, in JSON.

        Never raises: what is no number from 0 to 32767 is left out, so that odd conditions lose no trade."""

    @property
    def version(self) -> int:
        """The greatest version of a rule."""
        return max((rule.rules_version for rule in self.rules), default=0)

    @property
    def starts(self) -> Sequence[int]:
        """When rules change, in nanoseconds since the Unix epoch."""
        return self._starts

    def of(self, ids: Iterable[int]) -> Conditions:
        """These conditions."""
        ids = tuple(ids)
        return Conditions(ids, tuple((_all_of(of, ids, but=FORM_T), _all_of(of, ids)) for of in self._periods))

    def updates(self, conditions: Conditions, at: int) -> int | None:
        """What a trade of this moment may change, as bits of `feeds.updates`; None for everything.

        All conditions have to allow it.
        """
        period = -1 if at >= self._newest else bisect_right(self._starts, at)
        outside, inside = conditions.allowed[period]
        if not conditions.by_hours:
            return outside
        begin, end, regular = self._hours
        if not begin <= at < end:
            self._hours = _, _, regular = hours_at(at)
        return inside if regular else outside

    def updates_of(
        self, different: Sequence[Conditions], which: npt.NDArray[np.intp], times: npt.NDArray[np.int64]
    ) -> Floats | None:
        """The same as `updates` of many trades, as a column with NaN for None; None if all may change everything.

        `which` tells the place of each trade's conditions in `different`.
        """
        column = np.full(len(times), np.nan)
        first, last = int(times.min()), int(times.max())
        by_hours = any(each.by_hours for each in different)
        at, periods = first, 0
        while at <= last:
            # What a condition allows is the same until the next rule or, for some, until regular hours begin or end.
            period = bisect_right(self._starts, at)
            end = self._starts[period] if period < len(self._starts) else last + 1
            if by_hours:
                end = min(end, hours_at(at).end)
            bits = np.array([self.updates(each, at) for each in different], np.float64)
            if at == first and end > last:
                column = bits[which]
            else:
                inside = (times >= at) & (times < end)
                column[inside] = bits[which[inside]]
            at, periods = end, periods + 1
            if periods == _MOST_PERIODS:
                left = np.flatnonzero(times >= at)
                trades = zip(which[left].tolist(), times[left].tolist(), strict=True)
                column[left] = np.array([self.updates(different[place], each) for place, each in trades], np.float64)
                break
        return None if np.isnan(column).all() else column

    def _on(self, day: date) -> dict[int, int]:
        """What each condition allows, by the rules of that day."""
        held = sorted((rule for rule in self.rules if rule.valid_from <= day), key=_age)
        return {rule.condition: rule.updates for rule in held}


class _Memory(dict[bytes, Conditions]):
    """Remembers what lists of conditions mean: they are few, and a look-up takes a tenth of the time."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, raw: bytes) -> Conditions:
        ids = _ids(raw)
        read = self._rules.of(id_ for id_ in ids if id_ is not None)
        if None in ids:
            read.malformed = ("c",)
        if len(raw) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[raw] = read
        return read


@functools.cache
def packaged_rules() -> Rules:
    """The rules that come with the package."""
    path = shipped("sql") / "schema" / "trade_condition.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return Rules(map(_rule, csv.DictReader(file)))


def is_listing(tape: object, exchange: str | None) -> bool:
    """Whether the exchange lists the symbol, by the tape that carries it."""
    return exchange in _LISTING.get(str(tape), ())


def _rule(row: dict[str, str]) -> Rule:
    return Rule(
        int(row["rules_version"]),
        date.fromisoformat(row["valid_from"]),
        row["provider"],
        int(row["condition"]),
        row["name"],
        row["letters"],
        row["updates_open_close"] == "true",
        row["updates_high_low"] == "true",
        row["updates_volume"] == "true",
    )


def _age(rule: Rule) -> tuple[date, int]:
    return rule.valid_from, rule.rules_version


def _all_of(allowed: dict[int, int], ids: tuple[int, ...], *, but: int | None = None) -> int | None:
    bits = ALL
    for id_ in ids:
        if id_ != but:
            bits &= allowed.get(id_, ALL)
    return None if bits == ALL else bits


def _ids(raw: bytes) -> tuple[int | None, ...]:
    """Each condition, None for one that cannot be read."""
    try:
        value = msgspec.json.decode(raw) if raw else None
    except UNDECODABLE:
        return (None,)
    if value is None:
        return ()
    return tuple(map(_id, value if isinstance(value, list) else [value]))


def _id(value: Any) -> int | None:
    """A condition as a whole number; texts and numbers with a point are read where they are one."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _GREATEST:
        return None
    return int(value) if value == int(value) else None
