"""A column of few different values: a code for each place, and each value once.

Symbols, exchanges and lists of conditions stay so from decoding to COPY: nothing is done for each tick but with codes,
by numpy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.intp]


class Coded(Sequence[Any]):
    """A sequence whose item at `i` is ``values[codes[i]]``; it equals a list of its items."""

    __slots__ = ("codes", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, codes: Codes, values: Sequence[Any]) -> None:
        """Values may be unused, and may be equal to each other."""
        self.codes = codes
        self.values = values

    @classmethod
    def of(cls, items: Sequence[Hashable]) -> Coded:
        """Code these items; equal ones have one code."""
        code_of: dict[Hashable, int] = defaultdict(count().__next__)
        codes = np.fromiter(map(code_of.__getitem__, items), np.intp, len(items))
        return cls(codes, list(code_of))

    @classmethod
    def joined(cls, parts: Sequence[Coded]) -> Coded:
        """The parts, concatenated."""
        code_of: dict[Any, int] = defaultdict(count().__next__)
        codes = []
        for part in parts:
            of_part = np.fromiter(map(code_of.__getitem__, part.values), np.intp, len(part.values))
            codes.append(of_part[part.codes])
        return cls(np.concatenate(codes), list(code_of))

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> Coded: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return Coded(self.codes[place], self.values)
        return self.values[self.codes[place]]

    def __iter__(self) -> Iterator[Any]:
        return map(self.values.__getitem__, self.codes.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coded | list):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"Coded({list(self)!r})"

    def where(self, kept: npt.NDArray[np.bool_]) -> Coded:
        """The items for which `kept` is true."""
        return Coded(self.codes[kept], self.values)

    def counts(self) -> dict[Any, int]:
        """How often each value occurs, without those that do not."""
        found: dict[Any, int] = {}
        of_codes = np.bincount(self.codes, minlength=len(self.values)).tolist()
        for value, occurrences in zip(self.values, of_codes, strict=True):
            if occurrences:
                found[value] = found.get(value, 0) + occurrences
        return found

    def map(self, change: Callable[[Any], Any], unused: Any = None) -> Coded:
        """This column with each value changed; `unused` is in the place of those that do not occur."""
        used = np.bincount(self.codes, minlength=len(self.values)).tolist()
        values = [
            change(value) if occurrences else unused for value, occurrences in zip(self.values, used, strict=True)
        ]
        return Coded(self.codes, values)


def counted(items: Sequence[Any]) -> Mapping[Any, int]:
    """How often each different item occurs. Raises TypeError if one has no hash."""
    return items.counts() if isinstance(items, Coded) else Counter(items)


def hashes(items: Sequence[Any]) -> npt.NDArray[np.int64]:
    """The hash of each item. Raises TypeError if one has none."""
    if isinstance(items, Coded):
        return np.fromiter(map(hash, items.values), np.int64, len(items.values))[items.codes]
    return np.fromiter(map(hash, items), np.int64, len(items))
