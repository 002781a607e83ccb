-- Stores the calendars of symbols; returns a row for each that was new or different.
INSERT INTO ticks_platform.symbol_calendar AS kept (feed, symbol, calendar) VALUES %s
ON CONFLICT (feed, symbol) DO UPDATE SET calendar = excluded.calendar WHERE kept.calendar <> excluded.calendar
RETURNING 1;
