"""Frames that arrived together, by column: no object and no step of Python for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from ticks_platform.feeds.events import Frame


@dataclass(frozen=True, slots=True)
class Arrivals(Sequence[Frame]):
    """Frames of one connection, in order, as they arrived while its clock was not set. One at least."""

    data: list[bytes]
    received_at: list[int]
    connection: int
    stepped: int = 0
    correction: int = 0
    covered_until: int | None = None

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Arrivals:
        """The frames by column."""
        if isinstance(frames, cls):
            return frames
        first = frames[0]
        data, received_at = [frame.data for frame in frames], [frame.received_at for frame in frames]
        return cls(data, received_at, first.connection, first.stepped, first.correction, first.covered_until)

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, place: int) -> Frame: ...

    @overload
    def __getitem__(self, place: slice) -> list[Frame]: ...

    def __getitem__(self, place: int | slice) -> Frame | list[Frame]:
        places = range(len(self.data))[place]
        return self._frame(places) if isinstance(places, int) else list(map(self._frame, places))

    def _frame(self, place: int) -> Frame:
        return Frame(
            self.data[place],
            self.received_at[place],
            self.connection,
            self.stepped,
            self.correction,
            None if place else self.covered_until,
        )


class Group:
    """Collects what is handed over together."""

    def __init__(self) -> None:
        self.stepped = self._covered_until = 0
        self.clear()

    def clear(self) -> None:
        """Drop the frames."""
        self.frames: list[bytes] = []
        self._received_at: list[int] = []
        self.size = 0
        """Bytes of the frames."""

    def begin(self, stepped: int, *, covered_until: int) -> None:
        """Collect frames that arrive while the clock is set by `stepped`."""
        self.stepped, self._covered_until = stepped, covered_until

    def add(self, frames: Sequence[bytes], size: int, *, received_at: int) -> None:
        """Add frames of `size` bytes that arrive at this moment."""
        self.frames += frames
        self._received_at += [received_at] * len(frames)
        self.size += size

    def take(self, connection: int) -> Arrivals:
        """Return the frames, which came on this connection, and begin again."""
        taken = Arrivals(self.frames, self._received_at, connection, self.stepped, covered_until=self._covered_until)
        self.clear()
        return taken
