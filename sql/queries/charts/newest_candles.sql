-- The candles since a time of the symbols with the most ticks since then, combined to wider candles. One without prices, of volume
-- alone, has NULL.
WITH busiest AS (
    SELECT symbol, sum(tick_count) AS ticks
    FROM {candle}
    WHERE bucket >= %(start)s
    GROUP BY symbol
    ORDER BY ticks DESC, symbol
    LIMIT %(symbols)s
)
SELECT
    symbol,
    time_bucket(%(step)s, bucket) AS at,
    first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
    max(high) AS high,
    min(low) AS low,
    last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close
FROM {candle} AS candle
JOIN busiest USING (symbol)
WHERE bucket >= %(start)s
GROUP BY ticks, symbol, at
ORDER BY ticks DESC, symbol, at
