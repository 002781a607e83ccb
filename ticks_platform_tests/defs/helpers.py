"""What the tests of the Dagster layer share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ticks_platform.ingestion import lease as leases

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def take_over(cursor: Cursor, feed: str, *, synthetic: bool, owner: str) -> leases.Lease:
    """Take a feed over for an owner with a journal of its own, which is empty."""
    return leases.take(
        cursor,
        feed=feed,
        provider="twelve_data",
        synthetic=synthetic,
        owner=owner,
        journal_id=str(uuid.uuid4()),
        journal_start=None,
        journal_frames=0,
    )
