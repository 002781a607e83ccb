-- The symbols that feeds have or had, or that somebody described, and those of the ones that are asked for of which something is stored;
-- where all are (NULL), those with candles.
SELECT symbol FROM ticks_platform.feed_symbol
UNION
SELECT symbol FROM ticks_platform.symbol_calendar
UNION
SELECT symbol FROM instrument
UNION
SELECT asked.symbol
FROM unnest(%(asked)s::text[]) AS asked (symbol)
WHERE asked.symbol NOT IN (SELECT feed_symbol.symbol FROM ticks_platform.feed_symbol)
    AND (EXISTS (SELECT FROM stocks_real_time AS tick WHERE tick.symbol = asked.symbol)
        OR EXISTS (SELECT FROM one_day_candle AS candle WHERE candle.symbol = asked.symbol)
        OR EXISTS (SELECT FROM stock_quotes AS quote WHERE quote.symbol = asked.symbol)
        OR EXISTS (SELECT FROM stock_aggregates AS bar WHERE bar.symbol = asked.symbol))
UNION
SELECT symbol FROM one_day_candle WHERE %(asked)s::text[] IS NULL
ORDER BY symbol
