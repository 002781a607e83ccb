"""`subscribe`: a callback for the events of a feed or the rows of a table, without Dagster."""

from __future__ import annotations

from pathlib import Path

from ticks_platform.feeds.settings import FeedSettings, PlatformSettings, SettingsError, load_settings
from ticks_platform.paths import project_root
from ticks_platform.subscribing.feed import FeedSource, FrameKey, TradeKey, WindowKey
from ticks_platform.subscribing.subscription import Change, OnChange, Source, Subscription
from ticks_platform.subscribing.table import TABLES, TableSource
from ticks_platform.timescale.database import Database

__all__ = ["Change", "FrameKey", "OnChange", "Subscription", "TradeKey", "WindowKey", "subscribe"]


def subscribe(
    table_or_feed: str | FeedSettings,
    on_change: OnChange,
    *,
    database: Database | None = None,
    feeds_file: Path | None = None,
    recent_seconds: float | None = None,
) -> Subscription:
    """Call `on_change` with each event of a feed, or with each new or changed row of a table, until `close`.

    `table_or_feed` is a table or candle (stocks_real_time, stock_quotes, stock_aggregates, one_minute_candle,
    one_hour_candle), or a feed: its name in feeds.yaml, or its settings. `on_change` is called in one background
    thread, one call at a time. Nothing is dropped while it is slow: reading waits. An exception of `on_change` ends the
    subscription, is logged, and is raised again by the returned object.

    A feed is read from its provider, without journal and database; a feed whose endpoint is the stand-in gets its own
    stand-in. A table is polled, in `database` or by default in that of TICKS_DATABASE_URL. Rows that are committed
    after this returns are delivered if their time is at most `recent_seconds` before the newest row's; each table has a
    default. `feeds_file` replaces the project's feeds.yaml.

    Raises SettingsError if the feed or table is unknown or the feed has no key; FeedRefusedError if the provider
    refuses this client; DatabaseUnavailableError; ticks_standin's StandInError if the stand-in does not start. A later
    failure is the `error` of the returned object.
    """
    source: Source
    if isinstance(table_or_feed, str) and table_or_feed in TABLES:
        source = TableSource(
            TABLES[table_or_feed], database or Database.from_environment(), recent_seconds=recent_seconds
        )
    else:
        feed, settings = _feed(table_or_feed, feeds_file or project_root() / "feeds.yaml")
        source = FeedSource(feed, settings.stand_in if settings else None)
    return Subscription(source, on_change)


def _feed(feed: str | FeedSettings, feeds_file: Path) -> tuple[FeedSettings, PlatformSettings | None]:
    if isinstance(feed, FeedSettings):
        return feed, None
    settings = load_settings(feeds_file)
    try:
        return settings.feed(feed), settings
    except SettingsError as error:
        raise SettingsError(f"{error}; tables are: {', '.join(TABLES)}") from None
