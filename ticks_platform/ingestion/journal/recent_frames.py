"""Knows frames that come again on their connection, byte for byte, while they are received.

This is noted beside the frames: a process that loads them later has not seen those that were committed before.
"""

from __future__ import annotations

from ticks_platform.ingestion.journal.file import Contents

CAPACITY = 2_000
"""Frames whose hashes are kept together; at least as many are remembered, in 0.3 MB."""

_NONE: frozenset[int] = frozenset()


class RecentFrames:
    """Remembers the frames that were appended recently. One thread at a time may append those of one connection."""

    def __init__(self) -> None:
        self._recent: dict[tuple[int, int], set[int]] = {}
        self._older: dict[tuple[int, int], set[int]] = {}
        self._size = 0

    def again(self, group: Contents) -> list[int]:
        """The places of frames that are remembered, or come twice in this group."""
        hashes, of = list(map(hash, group.frames)), (group.epoch, group.connection)
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

    def remember(self, group: Contents) -> None:
        """Remember frames, since they are appended. Used under the journal's lock."""
        if self._size >= CAPACITY:
            self._older, self._recent, self._size = self._recent, {}, 0
        self._size += len(group.frames)
        self._recent.setdefault((group.epoch, group.connection), set()).update(map(hash, group.frames))
