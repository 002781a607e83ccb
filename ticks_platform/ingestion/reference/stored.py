"""Brings the tables of instruments up to date with feeds.yaml and with what the providers have answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticks_platform.feeds.primary import names_of
from ticks_platform.feeds.reference import Facts
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.reference.instruments import Known, known
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
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
    for_many = [feed for feed in feeds if names_of(feed).many]
    ticked: list[str] = []
    if for_many and not tables.missing(cursor, ("one_day_candle",)):
        ticked = instruments.ticked_symbols(cursor)
    for feed in for_many:
        # What came before a release that records it, and may come no more.
        asked = AskedSymbols.of(feed)
        asked.others(set(ticked))
        asked.record(cursor, feed.name)
    return known(feeds, references, ticked)
