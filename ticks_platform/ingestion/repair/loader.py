"""How a loader works under the repair lease, beside the feed's own ingestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_AFTER_EVERY_TIME = 2**63 - 1


class UnderRepairLease:
    """A base of loaders of past data, before Loader: the feed's channels, coverage and lease stay as they are."""

    _lease: Lease
    _memory: TradeMemory

    def _begin(self, cursor: Cursor) -> None:
        self._renew_lease(cursor)
        # Looks all trades up in the table: the feed's ingestion stores others concurrently.
        self._memory.horizon = _AFTER_EVERY_TIME

    def _renew_lease(self, cursor: Cursor) -> None:
        # The feed's ingestion locks this row when it commits; so if both load a trade, the second one finds the first.
        cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (self._lease.feed,))
        repair_lease.renew(cursor, self._lease)

    def _release(self, cursor: Cursor) -> None:
        repair_lease.renew(cursor, self._lease)
