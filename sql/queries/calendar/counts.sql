-- How many sessions and how many symbols with a calendar are stored.
SELECT (SELECT count(*) FROM ticks_platform.market_session), (SELECT count(*) FROM ticks_platform.symbol_calendar);
