"""Numbers trades that have no identity of their own: equal ones are told apart by their order.

Options have no trade ids, and some venues send one id for all. Such trades are equal if symbol, exchange, time, price,
size and conditions are. The n-th of equal ones in one delivery is the n-th of that moment: so what a provider sends
again on its next connection, or in its history, is known again, and as many are stored as there were. A delivery is
what one connection brought, or what was fetched of one range. A frame that comes twice on one connection, byte for
byte, is counted as if it came on another one. Whoever received it has noted that in the journal, since a process that
loads the second one may not have seen the first; a process that has seen both knows them without the note.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.hash_set import HashSet


class Connection(NamedTuple):
    """The delivery of what came from a socket."""

    epoch: int
    number: int


class Counted(NamedTuple):
    """How many equal trades precede a trade in its delivery, as far as one process has seen it."""

    number: int
    connection: Connection | None
    """The connection that brought it; None if it was fetched, or its frame comes again."""


class Origin(NamedTuple):
    """Where a trade came from."""

    delivery: Hashable
    frame: int
    """Position of its frame."""
    bytes_hash: int
    """Hash of the frame's bytes."""
    is_again: bool = False
    """Whether its frame came on its connection before, as whoever received it has noted."""


def connection(group: Any) -> Hashable:
    """The delivery of a group of frames that came from a socket: each connection has a number of its own."""
    return Connection(group.epoch, group.connection)


def origins(
    groups: Sequence[Any],
    group_of: npt.NDArray[np.intp],
    positions: npt.NDArray[np.int64],
    delivery: Callable[[Any], Hashable],
) -> list[Origin]:
    """Where events came from, given the index of each one's group, and its position.

    `delivery` tells it of a group, and is called once for each, in order.
    """
    found: list[Any] = [None] * len(positions)
    for number in np.unique(group_of).tolist():
        group, starts = groups[number], groups[number].positions()
        came_by = delivery(group)
        places = np.flatnonzero(group_of == number)
        frames = np.searchsorted(starts, positions[places], side="right") - 1
        hashes = {frame: hash(group.frames[frame]) for frame in np.unique(frames).tolist()}
        again = frozenset(group.again) if isinstance(came_by, Connection) else frozenset()
        for place, frame in zip(places.tolist(), frames.tolist(), strict=True):
            found[place] = Origin(came_by, int(starts[frame]), hashes[frame], frame in again)
    return found


class Numbered(NamedTuple):
    """A trade, and how many equal ones came before it in its delivery."""

    number: int
    is_repeat: bool
    """Whether one with this number is among these trades."""
    seen: bool
    """Whether one with this number was decoded before, probably."""


class EqualTrades:
    """Remembers the numbers of trades that were decoded recently.

    Hashes tell which ones came once; only those that came more often are in a dictionary.
    """

    def __init__(self) -> None:
        self._recent, self._older = HashSet(), HashSet()
        self._counts: dict[int, int] = {}
        self._older_counts: dict[int, int] = {}
        self._numbered: tuple[npt.NDArray[np.int64], dict[int, int]] | None = None

    @property
    def size(self) -> int:
        """Number of hashes that are remembered since the last rotation."""
        return self._recent.size

    def rotate(self) -> None:
        """Forget the older half."""
        self._older, self._older_counts = self._recent, self._counts
        self._recent, self._counts = HashSet(), {}

    def number(self, contents: Sequence[Hashable], origins: Sequence[Origin]) -> list[Numbered]:
        """Number trades of these contents, in order of arrival. They are remembered by `remember` only.

        Without it they may be numbered again, as if they had not been.
        """
        frames = {origin.frame: hash((origin.delivery, origin.bytes_hash)) for origin in origins}
        again = self._frames_again(frames, {origin.frame for origin in origins if origin.is_again})
        wholes = [hash(content) for content in contents]
        # A frame that comes again counts by itself.
        keys = [
            hash((whole, again[origin.frame] or origin.delivery)) for whole, origin in zip(wholes, origins, strict=True)
        ]
        known = self._known([*wholes, *keys])
        found: list[Numbered] = []
        there: set[tuple[int, int]] = set()
        for whole, key, origin in zip(wholes, keys, origins, strict=True):
            number = known[key]
            known[key] = number + 1
            seen = number < known[whole] or origin.is_again
            known[whole] = max(known[whole], number + 1)
            found.append(Numbered(number, (whole, number) in there, seen))
            there.add((whole, number))
        hashes = [*known, *frames.values()]
        self._numbered = np.fromiter(hashes, np.int64, len(hashes)), known
        return found

    def remember(self) -> None:
        """Remember the trades that were numbered last."""
        if self._numbered is None:
            return
        hashes, known = self._numbered
        self._recent.add(hashes)
        self._counts.update((each, count) for each, count in known.items() if count > 1)
        self._numbered = None

    def _frames_again(self, frames: dict[int, int], noted: Container[int]) -> dict[int, Hashable]:
        """For each frame that came before on its connection, something that is its own; None for the others."""
        hashes = np.fromiter(frames.values(), np.int64, len(frames))
        seen = (self._recent.contains(hashes) | self._older.contains(hashes)).tolist()
        here: set[int] = set()
        again: dict[int, Hashable] = {}
        for (frame, each), was_seen in zip(frames.items(), seen, strict=True):
            again[frame] = ("again", frame) if was_seen or each in here or frame in noted else None
            here.add(each)
        return again

    def _known(self, hashes: list[int]) -> dict[int, int]:
        """How often each was counted so far."""
        distinct = np.unique(np.array(hashes, np.int64))
        seen = self._recent.contains(distinct) | self._older.contains(distinct)
        return {
            each: self._counts.get(each) or self._older_counts.get(each) or 1 if was_seen else 0
            for each, was_seen in zip(distinct.tolist(), seen.tolist(), strict=True)
        }


def numbered(contents: Sequence[Hashable], numbers: Sequence[int]) -> list[Numbered]:
    """Trades that have their numbers, each to be looked up in the table."""
    there: set[tuple[Hashable, int]] = set()
    found = []
    for each in zip(contents, numbers, strict=True):
        found.append(Numbered(each[1], each in there, True))
        there.add(each)
    return found
