-- Stores the calendars of symbols; returns a row for each that was new or different.
INSERT INTO ticks_platform.symbol_calendar AS kept (feed, symbol, calendar, hours) VALUES %s
ON CONFLICT (feed, symbol) DO UPDATE SET calendar = excluded.calendar, hours = excluded.hours
WHERE (kept.calendar, kept.hours) IS DISTINCT FROM (excluded.calendar, excluded.hours)
RETURNING 1;
