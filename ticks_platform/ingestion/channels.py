"""The state of each channel of a feed, in `feed_channel`, for people and checks."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values

from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, HeardAgain, Silent, Unsubscribed
from ticks_platform.feeds.transport.state import Change
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import storable
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import store_items
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


def clear(cursor: Cursor, feed: str) -> None:
    """Delete the feed's channels: a new owner subscribes to all of them again."""
    cursor.execute("DELETE FROM ticks_platform.feed_channel WHERE feed = %s", (feed,))


def record(cursor: Cursor, feed: str, changes: Iterable[Change]) -> None:
    """Record what changes say about channels and silent symbols."""
    states: dict[str, tuple[str, datetime, str] | None] = {}
    for change in changes:
        at = from_nanoseconds(change.at)
        # Names are made storable before they are compared: an INSERT … ON CONFLICT must not have one twice.
        match change.notice:
            case Acknowledged(channels):
                states.update(dict.fromkeys(map(storable, channels), ("subscribed", at, "")))
            case HeardAgain(channels):
                states.update(dict.fromkeys(map(storable, channels), ("subscribed", at, "was silent")))
            case ChannelsFailed(reasons):
                states.update(
                    {storable(channel): ("failed", at, storable(reason)) for channel, reason in reasons.items()}
                )
            case Silent(seconds):
                states.update(
                    {
                        storable(symbol): ("silent", at, f"for {age:.0f} s when it was detected")
                        for symbol, age in seconds.items()
                    }
                )
            case Unsubscribed(channels):
                states.update(dict.fromkeys(map(storable, channels)))
    gone = [channel for channel, state in states.items() if state is None]
    if gone:
        cursor.execute("DELETE FROM ticks_platform.feed_channel WHERE feed = %s AND channel = ANY (%s)", (feed, gone))
    known = [(feed, channel, *state) for channel, state in states.items() if state is not None]

    def insert(rows: list[tuple[Any, ...]]) -> None:
        execute_values(cursor, sql_files.read("queries/feeds/record_channels.sql"), rows, page_size=1000)

    for rows, error in store_items(cursor, known, insert):
        for _, channel, *_rest in rows:
            logger.warning("feed %s: the state of channel %.40s cannot be stored: %s", feed, channel, first_line(error))
