-- The feeds that have, or had, something under a name.
SELECT feed FROM ticks_platform.feed_symbol WHERE symbol = %(old)s
UNION
SELECT feed FROM ticks_platform.feed_coverage WHERE symbol = %(old)s
UNION
SELECT feed FROM ticks_platform.symbol_calendar WHERE symbol = %(old)s
UNION
SELECT feed FROM stocks_real_time WHERE symbol = %(old)s
UNION
SELECT feed FROM stock_quotes WHERE symbol = %(old)s
UNION
SELECT feed FROM stock_aggregates WHERE symbol = %(old)s
ORDER BY feed;
