"""The asset `market_calendar`: when the markets of the feeds' symbols are open, for what joins candles with days."""

from datetime import datetime, timezone

import dagster as dg

from ticks_platform.defs.assets import KINDS, MAX_RUNTIME, OWNERS, definition_metadata
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.calendars import Calendar
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.market_calendar import Session, horizon, keep


def _sessions(calendar: Calendar, begin: datetime, end: datetime) -> list[Session]:
    return [
        Session(
            datetime.fromtimestamp(opening.opens, timezone.utc),
            datetime.fromtimestamp(opening.closes, timezone.utc),
            opening.session,
        )
        for opening in calendar.openings(begin.timestamp(), end.timestamp())
    ]


def market_calendar(settings: PlatformSettings) -> dg.AssetsDefinition:
    """The asset `market_calendar`, filled from the calendars of the symbols of feeds.yaml."""

    @dg.asset(
        name="market_calendar",
        deps=["stocks_real_time"],
        group_name="ticks",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/market_session.sql"),
        description=(
            "When the exchanges of the feeds' symbols are open, from some days before the first tick to a year ahead, "
            "and which symbol goes by which calendar: the tables ticks_platform.market_session and "
            "ticks_platform.symbol_calendar. Candles of session days and the search for gaps read them."
        ),
    )
    def asset(database: DatabaseResource) -> dg.MaterializeResult[None]:
        calendars = {
            (feed.name, symbol): calendar for feed in settings.feeds for symbol, calendar in feed.calendars().items()
        }
        with database.transaction() as cursor:
            sql_files.apply(
                cursor,
                "schema/ticks_platform.sql",
                "schema/market_session.sql",
                "schema/symbol_calendar.sql",
            )
            begin, end = horizon(cursor)
            kept = keep(
                cursor,
                {calendar.name: _sessions(calendar, begin, end) for calendar in set(calendars.values())},
                {symbol: calendar.name for symbol, calendar in calendars.items()},
                begin=begin,
                end=end,
            )
        return dg.MaterializeResult(
            metadata={
                "calendars": ", ".join(sorted({calendar.name for calendar in calendars.values()})),
                "sessions": kept.sessions,
                "symbols": kept.symbols,
                "rows changed": kept.changed,
                "from": str(begin),
                "to": str(end),
            }
        )

    return asset


keep_market_calendar = dg.define_asset_job(
    "keep_market_calendar",
    selection=dg.AssetSelection.assets("market_calendar"),
    tags=MAX_RUNTIME,
    description="Takes the exchanges' calendars one day further, and what feeds.yaml says of the symbols' calendars.",
)
