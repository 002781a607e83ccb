"""The asset `market_calendar`: when markets are open and providers send, as rows that SQL can join."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.common.bring_up import scheduled_job
from ticks_platform.defs.common.labels import KINDS, OWNERS, defined_in
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.feeds.calendars import Calendar
from ticks_platform.ingestion.gaps.market_sessions import sessions_of
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.market_calendar import SymbolCalendars, horizon, keep

FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=30), fail_window=timedelta(days=3))
"""keep_market_calendar extends it once a day."""


@dg.definitions
def market_calendar() -> dg.Definitions:
    """The asset `market_calendar`, filled from the calendars of the symbols of feeds.yaml."""
    settings = feed_settings()

    @dg.asset(
        name="market_calendar",
        deps=["stocks_real_time"],
        group_name="calendar",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/market_session.sql"),
        freshness_policy=FRESHNESS,
        description=(
            "When the exchanges of the feeds' symbols are open and when the providers send, from some days before the "
            "first tick to a year ahead, and which calendars each symbol follows: the tables "
            "ticks_platform.market_session and ticks_platform.symbol_calendar. Candles of session days and the reasons "
            "of missing candles come from them."
        ),
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        symbols: dict[tuple[str, str], SymbolCalendars] = {}
        calendars: set[Calendar] = set()
        for feed in settings.feeds:
            hours = feed.sending_calendars()
            calendars.update(hours.values())
            for symbol, market in feed.calendars().items():
                calendars.add(market)
                symbols[feed.name, symbol] = SymbolCalendars(market.name, hours[symbol].name)
        with ticks_database.transaction() as cursor:
            sql_files.apply(
                cursor,
                "schema/ticks_platform.sql",
                "schema/market_session.sql",
                "schema/symbol_calendar.sql",
            )
            begin, end = horizon(cursor)
            kept = keep(
                cursor,
                {calendar.name: sessions_of(calendar, begin, end) for calendar in calendars},
                symbols,
                begin=begin,
                end=end,
            )
        return dg.MaterializeResult(
            metadata={
                "calendars": ", ".join(sorted(calendar.name for calendar in calendars)),
                "sessions": kept.sessions,
                "symbols": kept.symbols,
                "rows changed": kept.changed,
                "from": str(begin),
                "to": str(end),
            }
        )

    return dg.Definitions(assets=[asset])


@dg.definitions
def keep_market_calendar() -> dg.Definitions:
    """The job `keep_market_calendar` and its schedule."""
    return scheduled_job(
        "keep_market_calendar",
        "20 0 * * *",
        dg.AssetSelection.assets("market_calendar"),
        description="Extends the exchanges' calendars by a day; notes which calendars feeds.yaml gives each symbol.",
        schedule_description="Once a day, extends the exchanges' calendars in the database by a day.",
    )
