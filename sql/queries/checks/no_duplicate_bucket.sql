-- Symbols that have more than one candle of the same bucket, in the given window. Overlapping refreshes make them on some
-- releases (timescaledb#9221), and no other check sees them. What is not materialized is made of its ticks when it is read. One row: how many candles there are, how many buckets have more
-- than one of a symbol, and the newest of those.
WITH repeated AS MATERIALIZED (
    SELECT bucket, symbol, count(*) AS candles
    FROM {materialized}
    WHERE bucket >= now() - %(window)s
    GROUP BY bucket, symbol
    HAVING count(*) > 1
)
SELECT
    (SELECT count(*) FROM {materialized} WHERE bucket >= now() - %(window)s) AS judged,
    (SELECT count(*) FROM repeated) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (SELECT bucket, symbol, candles FROM repeated ORDER BY bucket DESC, symbol LIMIT 10) AS worst) AS examples;
