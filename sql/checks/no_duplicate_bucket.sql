-- Symbols that have more than one candle of the same bucket, in the last %(window)s. Refreshes that overlap have made such on
-- some releases (timescaledb#9221), and no other check sees them. One row: how many there are, how many are there more than
-- once, and the newest of those.
WITH counted AS MATERIALIZED (
    SELECT bucket, symbol, count(*) AS candles
    FROM {candle}
    WHERE bucket >= now() - %(window)s
    GROUP BY bucket, symbol
)
SELECT
    (SELECT coalesce(sum(candles), 0)::bigint FROM counted) AS judged,
    (SELECT count(*) FROM counted WHERE candles > 1) AS offending,
    (SELECT coalesce(jsonb_agg(to_jsonb(worst)), '[]')
        FROM (
            SELECT bucket, symbol, candles FROM counted WHERE candles > 1 ORDER BY bucket DESC, symbol LIMIT 10
        ) AS worst) AS examples;
