-- Candles of one span of time beside their recomputation, by candles_equal_ticks.sql or candles_equal_finer.sql. One row: how
-- many candles there are or should be, how many differ, which buckets those are in, and some of them. Volumes are sums of
-- fractions in any order, and may differ in the last digits. The bounds are constants, so that only their chunks are read.
WITH recomputed AS (
    {recomputed}
),
stored AS (
    SELECT bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count
    FROM {candle}
    WHERE bucket >= %(begin)s AND bucket < %(end)s
),
compared AS MATERIALIZED (
    SELECT
        bucket,
        symbol,
        CASE
            WHEN stored.tick_count IS NULL AND recomputed.tick_count IS NOT NULL THEN 'there is no candle'
            WHEN recomputed.tick_count IS NULL THEN 'there is nothing to make it of'
            WHEN (
                    stored.open, stored.high, stored.low, stored.close, stored.day_volume, stored.tick_count, stored.price_count
                ) IS DISTINCT FROM (
                    recomputed.open, recomputed.high, recomputed.low, recomputed.close, recomputed.day_volume,
                    recomputed.tick_count, recomputed.price_count
                )
                OR (stored.volume IS NULL) <> (recomputed.volume IS NULL)
                OR NOT (
                    stored.volume = recomputed.volume
                    OR abs(stored.volume - recomputed.volume) <= 1e-9 * greatest(abs(stored.volume), abs(recomputed.volume))
                )
                THEN 'the candle is another one'
        END AS problem,
        stored,
        recomputed
    FROM stored
    FULL JOIN recomputed USING (bucket, symbol)
)
SELECT
    (SELECT count(*) FROM compared) AS candles,
    (SELECT count(problem) FROM compared) AS differing,
    (SELECT coalesce(array_agg(DISTINCT bucket ORDER BY bucket), '{{}}') FROM compared WHERE problem IS NOT NULL) AS buckets,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT
                bucket,
                symbol,
                problem,
                array_to_string(
                    ARRAY[
                        (stored).open, (stored).high, (stored).low, (stored).close, (stored).volume, (stored).tick_count,
                        (stored).price_count
                    ], ' ', '-'
                ) AS "candle (open high low close volume ticks, those with prices)",
                array_to_string(
                    ARRAY[
                        (recomputed).open, (recomputed).high, (recomputed).low, (recomputed).close, (recomputed).volume,
                        (recomputed).tick_count, (recomputed).price_count
                    ], ' ', '-'
                ) AS "it should be"
            FROM compared WHERE problem IS NOT NULL ORDER BY bucket DESC, symbol LIMIT 10
        ) AS worst) AS examples;
