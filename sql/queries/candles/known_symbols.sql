-- The symbols that a feed streams or streamed, those with candles around a time, and the given one if it has a tick.
SELECT symbol FROM ticks_platform.feed_symbol
UNION
SELECT symbol FROM ticks_platform.symbol_calendar
UNION
SELECT symbol FROM one_minute_candle WHERE bucket >= %(at)s - INTERVAL '1 hour' AND bucket < %(at)s + INTERVAL '1 hour'
UNION
(SELECT symbol FROM stocks_real_time WHERE symbol = %(symbol)s LIMIT 1)
ORDER BY symbol;
