"""Loads past data under the repair lease, beside the feed's own ingestion."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair.page_journal import page_of

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_AFTER_EVERY_TIME = 2**63 - 1


class RepairLoader(Loader):
    """A loader under the repair lease; the feed's channels, coverage and lease stay as they are."""

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


class PageLoader(RepairLoader):
    """Loads the journal of a repair's pages."""

    _fetches = 0

    def _delivery(self, group: FrameGroup) -> Hashable:
        # Pages of a range continue each other: equal trades of a moment may be on two of them.
        repair_id, is_first = page_of(group)
        self._fetches += is_first
        return repair_id, self._fetches
