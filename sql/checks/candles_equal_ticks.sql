-- Candles of one span of time beside their recomputation from the ticks, in plain SQL: no first() and no last(), whose ties
-- and whose refreshes are what is being checked. One row: how many candles there are or should be, how many are not what
-- their ticks say, which buckets those are in, and some of them. The bounds are constants, so that only their chunks are read.
WITH ordered AS (
    SELECT time_bucket(%(width)s, time) AS bucket, symbol, array_agg(price ORDER BY tick_id) AS prices
    FROM stocks_real_time
    WHERE time >= %(begin)s AND time < %(end)s
    GROUP BY time_bucket(%(width)s, time), symbol
),
recomputed AS (
    SELECT
        bucket,
        symbol,
        prices[1] AS open,
        (SELECT max(price) FROM unnest(prices) AS price) AS high,
        (SELECT min(price) FROM unnest(prices) AS price) AS low,
        prices[cardinality(prices)] AS close,
        cardinality(prices)::bigint AS tick_count
    FROM ordered
),
stored AS (
    SELECT bucket, symbol, open, high, low, close, tick_count
    FROM {candle}
    WHERE bucket >= %(begin)s AND bucket < %(end)s
),
compared AS MATERIALIZED (
    SELECT
        bucket,
        symbol,
        CASE
            WHEN stored.tick_count IS NULL THEN 'there is no candle'
            WHEN recomputed.tick_count IS NULL THEN 'there are no ticks'
            WHEN (stored.open, stored.high, stored.low, stored.close, stored.tick_count)
                IS DISTINCT FROM (recomputed.open, recomputed.high, recomputed.low, recomputed.close, recomputed.tick_count)
                THEN 'the candle is not that of its ticks'
        END AS problem,
        concat_ws(' ', stored.open, stored.high, stored.low, stored.close, stored.tick_count) AS candle,
        concat_ws(' ', recomputed.open, recomputed.high, recomputed.low, recomputed.close, recomputed.tick_count) AS ticks
    FROM stored
    FULL JOIN recomputed USING (bucket, symbol)
)
SELECT
    (SELECT count(*) FROM compared) AS candles,
    (SELECT count(problem) FROM compared) AS differing,
    (SELECT coalesce(array_agg(DISTINCT bucket ORDER BY bucket), '{{}}') FROM compared WHERE problem IS NOT NULL) AS buckets,
    (SELECT coalesce(jsonb_agg(to_jsonb(worst)), '[]')
        FROM (
            SELECT bucket, symbol, problem, candle AS "candle (open high low close ticks)", ticks AS "its ticks say"
            FROM compared WHERE problem IS NOT NULL ORDER BY bucket DESC, symbol LIMIT 10
        ) AS worst) AS examples;
