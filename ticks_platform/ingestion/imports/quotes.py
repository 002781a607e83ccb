"""Quotes of files: those that the table has are duplicates, as often as it has them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ticks_platform.errors import RetryableError
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.repair.gaps import CONNECTION
from ticks_platform.ingestion.rows.decode import Stored
from ticks_platform.ingestion.rows.store import PreparedBatch, Store
from ticks_platform.ingestion.rows.tables import QUOTES, Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import UNSTORABLE
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_FIELDS = ("bid", "bid_size", "ask", "ask_size")

_REMEMBERED = 100_000
"""Quotes that others had stored and that are remembered, of several batches."""

_Content = tuple[Any, ...]
"""What a quote is."""


class JournalBehindError(RetryableError):
    """A feed's own journal may have what a file has."""


class FileStore(Store):
    """Stores batches of a file. A provider sends quotes without ids, so they are compared by what they are."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        self._file_lease = lease
        self._matched: dict[int, _Content] = {}
        """Quotes of the last batches that others had stored, by their positions: equal ones may be in two batches."""

    def store(self, cursor: Cursor, prepared: PreparedBatch) -> Stored:
        quotes = prepared.batch.quotes
        if not quotes.events:
            return super().store(cursor, prepared)
        known = self._known(cursor, quotes)
        if not known.any():
            return super().store(cursor, prepared)
        batch = prepared.batch._replace(quotes=quotes.where(~known))
        encoded = {name: data for name, data in prepared.encoded.items() if name != QUOTES.name}
        stored = super().store(cursor, prepared._replace(batch=batch, encoded=encoded))
        stored.duplicate.append(quotes.where(known))
        return stored

    def _known(self, cursor: Cursor, quotes: Rows) -> Any:
        """Which quotes are stored, of another journal. Raises JournalBehindError if it is not known yet which are."""
        events = quotes.as_events()
        known = np.zeros(len(events), np.bool_)
        lease, positions = self._file_lease, quotes.positions.tolist()
        # A batch that could not be stored comes again, or a part of it.
        self._matched = {place: each for place, each in self._matched.items() if place < positions[0]}
        times = quotes.times("time")
        first, last = from_nanoseconds(int(times.min())), from_nanoseconds(int(times.max()))
        symbols = sorted(
            {quote.symbol for quote in events if isinstance(quote.symbol, str) and "\0" not in quote.symbol}
        )
        parameters: dict[str, Any] = {"feed": lease.feed, "connection": CONNECTION, "journal": lease.journal_number}
        cursor.execute(sql_files.read("queries/imports/loaded_until.sql"), parameters)
        (until,) = cursor.fetchone() or (None,)
        if until is not None and last > until:
            raise JournalBehindError(
                f"feed '{lease.feed}': quotes of {last:%Y-%m-%d %H:%M:%S} UTC cannot be imported yet: its own journal "
                "is loaded to an earlier time, and quotes that come twice are not told apart then; import days that "
                "are over, or try again once the feed has loaded what it received until then"
            )
        parameters |= {"symbols": symbols, "first": first, "last": last}
        try:
            cursor.execute("SAVEPOINT asked")
            cursor.execute(sql_files.read("queries/imports/quotes_are_stored.sql"), parameters)
            if cursor.fetchone() != (True,):
                return known
            cursor.execute(sql_files.read("queries/imports/stored_quotes.sql"), parameters)
        except UNSTORABLE:
            # Some text cannot be stored; `Store` finds it.
            cursor.execute("ROLLBACK TO SAVEPOINT asked")
            return known
        left: Counter[_Content] = Counter()
        for *key, of_others, of_file in cursor.fetchall():
            # Where the file has stored one, it had found all those of others before.
            if not of_file:
                left[tuple(key)] = of_others
        left.subtract(Counter(self._matched.values()))
        matched: dict[int, _Content] = {}
        for place, quote in enumerate(events):
            content = (quote.symbol, int(times[place]) // 1000, *(getattr(quote, field) for field in _FIELDS))
            if left[content] > 0:
                left[content] -= 1
                known[place] = True
                matched[positions[place]] = content
        self._matched = dict([*self._matched.items(), *matched.items()][-_REMEMBERED:])
        return known
