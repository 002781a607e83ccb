"""Knows frames that come again on their connection, byte for byte, while they are received.

This is noted beside the frames: a process that loads them later has not seen those that were committed before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

CAPACITY = 2_000
"""Frames whose hashes are kept together; at least as many are remembered, in 0.3 MB."""

_NONE: frozenset[int] = frozenset()

Of = tuple[int, int]
"""Epoch and connection."""


class RecentFrames:
    """Remembers the frames that were appended recently. One thread at a time may append those of one connection."""

    def __init__(self) -> None:
        self._recent: dict[Of, set[int]] = {}
        self._older: dict[Of, set[int]] = {}
        self._size = 0
        self.are_of_use = True
        """Whether frames are remembered at all, which takes 0.4 µs for each while it is read."""
        self._were_of_use = False

    def learn(self, without_ids: Collection[object], *, any_rows: bool) -> None:
        """Learn what was decoded: trades without ids, and whether there were any rows.

        Frames are remembered until there are others only, and from the first of these trades on.
        """
        if any_rows:
            self.are_of_use = self._were_of_use = self._were_of_use or bool(without_ids)

    def again(self, of: Of, frames: Sequence[bytes]) -> list[int]:
        """The places of frames that are remembered, or come twice among these."""
        if not self.are_of_use:
            return []
        hashes = list(map(hash, frames))
        recent, older, there = self._recent.get(of, _NONE), self._older.get(of, _NONE), set(hashes)
        if len(there) == len(hashes) and there.isdisjoint(recent) and there.isdisjoint(older):
            return []
        there.clear()
        found = []
        for place, each in enumerate(hashes):
            if each in there or each in recent or each in older:
                found.append(place)
            there.add(each)
        return found

    def remember(self, of: Of, frames: Sequence[bytes]) -> None:
        """Remember frames, since they are appended. Used under the journal's lock."""
        if not self.are_of_use:
            return
        if self._size >= CAPACITY:
            self._older, self._recent, self._size = self._recent, {}, 0
        self._size += len(frames)
        self._recent.setdefault(of, set()).update(map(hash, frames))
