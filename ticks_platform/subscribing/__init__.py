"""Events of a feed, or rows of a table, as calls of a function: for those who use the library without Dagster."""

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
    """Call `on_change` with each event of a feed, or with each new or changed row of a table, until it is closed.

    `table_or_feed` is a table or candle (stocks_real_time, stock_quotes, stock_aggregates, one_minute_candle,
    one_hour_candle), or else a feed: its name in feeds.yaml, or its settings. `on_change` is called in one background
    thread, one call at a time. While it is slow nothing is dropped: reading waits for it. An exception that it raises
    ends the subscription, is logged, and is raised again by the handle.

    A feed is read from its provider, past journal and database; one whose endpoint is the stand-in gets a stand-in of
    its own. A table is polled, in `database` or else in the one of TICKS_DATABASE_URL. What is committed after this
    returns is handed on if its time is at most `recent_seconds` before the newest row's; the default is the table's.
    `feeds_file` is read instead of the project's feeds.yaml.

    Raises, where it is known at once: SettingsError when there is no such feed or table or the feed has no key;
    FeedRefusedError when the provider refuses this client; DatabaseUnavailableError; ticks_standin's
    StandInError when the stand-in does not start. What happens later is the handle's `error`.
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


def _feed(wanted: str | FeedSettings, feeds_file: Path) -> tuple[FeedSettings, PlatformSettings | None]:
    if isinstance(wanted, FeedSettings):
        return wanted, None
    settings = load_settings(feeds_file)
    try:
        return settings.feed(wanted), settings
    except SettingsError as error:
        raise SettingsError(f"{error}; tables are: {', '.join(TABLES)}") from None
