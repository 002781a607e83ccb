"""Recomputes a feed's gaps when a loader has stored coverage. Ticks come first: failures are retried ever later."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone

from ticks_platform.backoff import Backoff
from ticks_platform.ingestion.gaps import gaps
from ticks_platform.ingestion.transactions import Transactions
from ticks_platform.timescale.failures import FAILURES

logger = logging.getLogger(__name__)


class GapUpdates:
    """The updates of one loader."""

    def __init__(self, transactions: Transactions, feed: str) -> None:
        self._transactions = transactions
        self._feed = feed
        self._backoff = Backoff(base=2.0, cap=60.0)
        self._due_at = 0.0

    def update(self) -> bool:
        """Recompute the gaps; returns whether they are up to date."""
        if time.monotonic() < self._due_at:
            return False
        try:
            self._transactions.once(lambda cursor: gaps.update(cursor, self._feed, now=datetime.now(timezone.utc)))
        except FAILURES as error:
            self._transactions.close()
            self._due_at = time.monotonic() + self._backoff.next_delay()
            logger.warning("feed %s: cannot compute its gaps, will retry: %s", self._feed, str(error).strip())
            return False
        self._backoff.reset()
        return True
