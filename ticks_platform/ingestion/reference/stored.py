"""Brings the tables of instruments up to date with feeds.yaml and with what the providers have answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticks_platform.feeds.primary import names_of
from ticks_platform.feeds.reference import Facts
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.reference.instruments import Known, known
from ticks_platform.timescale import instruments, sql_files, tables

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def keep(cursor: Cursor, feeds: Sequence[FeedSettings]) -> instruments.Kept:
    """Store what is known of the symbols of these feeds, and return how many rows changed."""
    return instruments.keep(cursor, *_known(cursor, feeds))


def _known(cursor: Cursor, feeds: Sequence[FeedSettings]) -> Known:
    cursor.execute(sql_files.read("queries/instruments/references.sql"))
    references = {
        (feed, symbol): Facts(asset_class, mic, currency, None, round_lot, may_be_negative)
        for feed, symbol, asset_class, mic, currency, round_lot, may_be_negative in cursor.fetchall()
    }
    stands_for_many = any(names_of(feed).many for feed in feeds)
    has_candles = stands_for_many and not tables.missing(cursor, ("one_day_candle",))
    return known(feeds, references, instruments.ticked_symbols(cursor) if has_candles else ())
