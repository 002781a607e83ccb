-- The symbols with candles in a time: those that were asked for first, in their order, then the busiest. And how many there are.
SELECT symbol, count(*) OVER ()
FROM {candle}
WHERE bucket > %(after)s AND bucket <= %(newest)s
GROUP BY symbol
ORDER BY array_position(%(preferred)s::text[], symbol) NULLS LAST, sum(tick_count) DESC, symbol
LIMIT %(limit)s
