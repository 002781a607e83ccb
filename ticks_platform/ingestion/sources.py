"""The journals that a loader loads, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar


class _Journal(Protocol):
    @property
    def path(self) -> Path: ...

    def close(self) -> None: ...


class _Source(Protocol):
    @property
    def journal(self) -> _Journal: ...


S = TypeVar("S", bound=_Source)


class Sources(Generic[S]):
    """A loader's own journal, and those to load before it, of which some may be found late.

    Iterate over it to load them. Each but the own one is closed when it is loaded, which asking for the next one tells.
    """

    def __init__(self, before: Sequence[S], own: S, *, on_late: Callable[[Path], None]) -> None:
        """`on_late` is called with the file of each that was found late, before it is loaded."""
        self._before = deque(before)
        self._late: deque[S] = deque()
        self._on_late = on_late
        self.own = own

    def add(self, source: S) -> None:
        """Let a journal be loaded before more of the own one. Safe from any thread."""
        self._late.append(source)

    def interrupt(self, journal: _Journal) -> bool:
        """Whether the loading of this journal is to be interrupted: it is the own one, and another one was found."""
        return bool(self._late) and journal is self.own.journal

    def __iter__(self) -> Iterator[S]:
        while self._before:
            source = self._before.popleft()
            yield source
            source.journal.close()
        yield self.own
        while self._late:
            source = self._late.popleft()
            self._on_late(source.journal.path)
            yield source
            source.journal.close()
            if not self._late:
                yield self.own
