-- The symbols that have or may have candles, each with its name where there is one: those of feeds, and those with candles of the last
-- eight days, which rows by hand may have made. The first are those that feeds stream now.
SELECT symbol, max(name), bool_or(streamed) AS streamed
FROM (
    SELECT symbol, NULL AS name, wanted_until IS NULL AS streamed FROM ticks_platform.feed_symbol
    UNION ALL
    SELECT symbol, NULL, false FROM one_day_candle WHERE bucket > now() - INTERVAL '8 days'
    UNION ALL
    SELECT symbol, name, false FROM company
) AS known
GROUP BY symbol
ORDER BY bool_or(streamed) DESC, symbol
LIMIT 100000
