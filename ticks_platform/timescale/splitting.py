"""Stores a part of a transaction's rows, and finds those that cannot be stored, by halving.

Everything happens in the caller's transaction, with savepoints: what is at fault costs nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ticks_platform.errors import TicksPlatformError
from ticks_platform.timescale.failures import Meaning, meaning

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

FRUITLESS = 24
"""Single rows that fail for an unclear reason, before any was stored, after which the table is asked no more."""


P = TypeVar("P")


class Failed(NamedTuple, Generic[P]):
    """Rows that cannot be stored, and why."""

    part: P
    error: Exception


class Splitter(Generic[P]):
    """Stores the rows of one table. After `run`, `failed` has those that cannot be stored."""

    def __init__(
        self,
        cursor: Cursor,
        store: Callable[[P], None],
        part: Callable[[P, int, int], P],
        size: Callable[[P], int],
        *,
        only_data: bool = False,
        accepts: Callable[[Exception], bool] | None = None,
    ) -> None:
        """`store` stores rows or raises, and may be called again with fewer. `part` cuts them from one index to
        another, `size` counts them.

        With `only_data`, errors that are not clearly the rows' are raised. `accepts` is asked if no row at all can be
        stored: whether the table takes others. If not, the error is raised; without it, all of them have failed.
        """
        self._cursor = cursor
        self._store = store
        self._part = part
        self._size = size
        self._only_data = only_data
        self._accepts = accepts
        self._takes_others = False
        self._unclear: list[Failed[P]] = []
        self._refused: list[Failed[P]] = []

    def run(self, rows: P) -> list[Failed[P]]:
        """Store what can be stored, and return the rest in parts.

        Raises psycopg2.Error if the server is away, and in the cases above.
        """
        self._halve(rows)
        if self._unclear and not self._takes_others and self._accepts is not None:
            error = self._unclear[-1].error
            if not self._accepts(error):
                raise error
        for part, error in self._unclear:
            # What failed may have passed since: a timeout, a lock.
            again = self._attempt(part) if self._size(part) == 1 else error
            if again is not None:
                self._refused.append(Failed(part, again))
        return self._refused

    def _halve(self, rows: P) -> None:
        if self._is_fruitless():
            self._unclear.append(Failed(rows, self._unclear[-1].error))
            return
        error = self._attempt(rows)
        if error is None:
            self._takes_others = True
            return
        is_clear = meaning(error) is Meaning.DATA
        if not is_clear and self._only_data:
            raise error
        if self._size(rows) == 1:
            (self._refused if is_clear else self._unclear).append(Failed(rows, error))
            return
        size = self._size(rows)
        middle = size // 2
        self._halve(self._part(rows, 0, middle))
        self._halve(self._part(rows, middle, size))

    def _is_fruitless(self) -> bool:
        if self._takes_others or len(self._unclear) < FRUITLESS:
            return False
        if self._accepts is not None and self._accepts(self._unclear[-1].error):
            self._takes_others = True
        return not self._takes_others

    def _attempt(self, rows: P) -> Exception | None:
        return attempt(self._cursor, lambda: self._store(rows))


def attempt(cursor: Cursor, work: Callable[[], object]) -> Exception | None:
    """Do a part of a transaction's work, or return why it failed: then nothing of it is done.

    Raises psycopg2.Error if the server is away, and the platform's own errors.
    """
    cursor.execute("SAVEPOINT part")
    try:
        work()
    except TicksPlatformError:
        raise
    except Exception as error:
        if meaning(error, cursor.connection) is Meaning.AWAY:
            raise
        # Released as well, so that an outer savepoint of this name is found again.
        cursor.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
        return error
    cursor.execute("RELEASE SAVEPOINT part")
    return None


def store_items(
    cursor: Cursor, items: list[Any], store: Callable[[list[Any]], None], *, only_data: bool = False
) -> list[Failed[list[Any]]]:
    """Store a list, and return the parts of it that the database will not take.

    Raises psycopg2.Error if it is away, and with `only_data` also errors that are not clearly the items'.
    """
    if not items:
        return []
    return Splitter(cursor, store, lambda rows, begin, end: rows[begin:end], len, only_data=only_data).run(items)
