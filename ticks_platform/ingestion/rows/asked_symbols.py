"""Which symbols a feed may store: those that somebody asked for, now or earlier.

A provider that sends others, by mistake or on purpose, would fill the tables, and put names of its own choosing where
people read them. Their events are rejected, with their bytes: `ticks reload-rejected` loads them once they are in
feeds.yaml.

A symbol that was asked for earlier stays known: frames are in flight when it is removed, and a journal that waited for
the database may be older than feeds.yaml.

Names that a symbol permits which stands for many, such as Polygon's ``*``, are recorded: they were received when that
one was.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.coded import counted
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.symbol_settings import MAX_SYMBOL_LENGTH
from ticks_platform.ingestion.rows.decode import DecodedBatch
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timescale.splitting import attempt

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_MAX_REMEMBERED = 100_000
"""Names that a pattern has permitted and that are remembered."""

_SHOWN = 60
"""Characters of a name in a reason."""

_EARLIER = ("queries/feeds/earlier_symbols.sql", "queries/feeds/covered_symbols.sql")


class AskedSymbols:
    """The names that ticks of a feed may carry. Symbols may be added from another thread than asks."""

    def __init__(self, connector: Connector, symbols: Iterable[str]) -> None:
        """`symbols` are those of feeds.yaml."""
        self._connector = connector
        self._names: frozenset[str] = frozenset()
        self._patterns: dict[re.Pattern[str], str] = {}
        # With the symbol that stands for their names, as the ticks would call it.
        self._permitted: set[str] = set()
        self._unrecorded: set[tuple[str, str]] = set()
        # Each with the symbol that stands for it before it.
        self._recording: set[tuple[str, str]] = set()
        self._adding = threading.RLock()
        self.add(symbols)

    @classmethod
    def of(cls, feed: FeedSettings) -> AskedSymbols:
        """Those of a feed."""
        return cls(feed.keyless_connector(), feed.symbol_names())

    def add(self, symbols: Iterable[str]) -> None:
        """Symbols of feeds.yaml are asked for from now on; those of before stay known."""
        with self._adding:
            names, patterns = set(self._names), dict(self._patterns)
            for symbol in symbols:
                pattern = self._connector.many_names(symbol)
                if pattern is None:
                    names |= {self._connector.symbol_of(symbol), *self._connector.former_names(symbol)}
                else:
                    patterns.setdefault(pattern, storable(self._connector.symbol_of(symbol)))
            self._names, self._patterns = frozenset(names), patterns

    def try_earlier(self, cursor: Cursor, *feeds: str) -> Exception | None:
        """Add what can be read of what these feeds have ever asked for, and return why that is not all, or None.

        Raises psycopg2.Error if the server is away.
        """
        failures = [attempt(cursor, partial(self._add_found, cursor, query, feeds)) for query in _EARLIER]
        return next((error for error in failures if error is not None), None)

    def _add_found(self, cursor: Cursor, query: str, feeds: Sequence[str]) -> None:
        cursor.execute(sql_files.read(query), {"feeds": list(feeds)})
        earlier = [symbol for (symbol,) in cursor.fetchall()]
        with self._adding:
            self.add(symbol for symbol in earlier if self._connector.many_names(symbol) is not None)
            self._names |= frozenset(earlier)

    def reject_others(self, batch: DecodedBatch) -> DecodedBatch:
        """A batch in which the events of other symbols are rejected."""
        rejected: list[RejectedEvent] = []
        kept = []
        for rows in batch.rows:
            names = rows.column("symbol")
            try:
                unknown = self.others(set(counted(names)))
            except TypeError:
                unknown = set()  # one of them is no text; `store` finds it
            if unknown:
                refused = np.fromiter((name in unknown for name in names), np.bool_, len(names))
                rejected += self._rejected(batch, rows, names, refused)
                rows = rows.where(~refused)
            kept.append(rows)
        if not rejected:
            return batch
        return batch.keeping(kept, rejected=batch.rejected + rejected)

    def _rejected(
        self, batch: DecodedBatch, rows: Rows, names: Sequence[str], refused: npt.NDArray[np.bool_]
    ) -> Iterator[RejectedEvent]:
        for place in np.flatnonzero(refused).tolist():
            yield batch.reject(int(rows.positions[place]), int(rows.received_at[place]), _reason(names[place]))

    def others(self, names: set[str]) -> set[str]:
        """Those of these names that nobody asked for."""
        patterns = self._patterns
        if not patterns:
            return names - self._names
        # Also those that are, or were, listed by their names.
        unknown = names - self._permitted
        if not unknown:
            return unknown
        fitting = {(whole, name) for name in unknown for pattern, whole in patterns.items() if pattern.fullmatch(name)}
        permitted = {name for _, name in fitting}
        if len(self._permitted) + len(permitted) > _MAX_REMEMBERED:
            self._permitted.clear()
        self._permitted |= permitted
        with self._adding:
            self._unrecorded |= fitting
        return unknown - permitted - self._names

    def record(self, cursor: Cursor, feed: str) -> None:
        """Record the names that came by symbols which stand for many; call `recorded` after the commit."""
        with self._adding:
            self._recording = set(self._unrecorded)
        # What no feed can have asked for is in no account of what was received.
        found = sorted((storable(name), whole) for whole, name in self._recording if len(name) <= MAX_SYMBOL_LENGTH)
        if found:
            symbols, wildcards = map(list, zip(*found, strict=True))
            cursor.execute(
                sql_files.read("queries/feeds/record_wildcard_symbols.sql"),
                {"feed": feed, "wildcards": wildcards, "symbols": symbols},
            )

    def recorded(self) -> None:
        """Drop what the last `record` has recorded: it is committed."""
        if self._recording:
            with self._adding:
                self._unrecorded -= self._recording
            self._recording = set()

    def not_recorded(self) -> None:
        """The last `record` was rolled back."""
        self._recording = set()

    @property
    def waiting(self) -> bool:
        """Whether there are names to record."""
        return bool(self._unrecorded)


def _reason(name: str) -> str:
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    return f"{shown} is not among the feed's symbols; if it is wanted, add it to them in feeds.yaml"
