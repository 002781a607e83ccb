-- What is dated further ahead of now than the tolerance: ticks, candles, and the watermarks up to which candles are
-- materialized. A watermark that was moved by a tick from the future stays there, even without the tick, and hides every
-- earlier tick from the candles until it is refreshed. One at the end of an open bucket, as refresh_continuous_aggregate(…,
-- NULL, NULL) leaves it, hides the later ticks of that bucket. One row: how many watermarks were judged, how much is ahead,
-- and some of it.
WITH watermark AS (
    SELECT user_view_name::text AS name,
        CASE WHEN watermark > -210866803200000000 AND watermark < 9223371331200000000
            THEN _timescaledb_functions.to_timestamp(watermark) END AS at
    FROM _timescaledb_catalog.continuous_agg
    JOIN _timescaledb_catalog.continuous_aggs_watermark USING (mat_hypertable_id)
    WHERE user_view_name = ANY (%(candles)s)
),
ahead AS MATERIALIZED (
    SELECT CASE feed WHEN 'manual' THEN 'tick by hand' ELSE 'tick' END AS what, symbol AS name, time AS at
    FROM stocks_real_time
    WHERE time > now() + %(tolerance)s
    UNION ALL
    SELECT 'candle', symbol, bucket
    FROM one_minute_candle
    WHERE bucket > now() + %(tolerance)s
    UNION ALL
    SELECT 'watermark', name, at
    FROM watermark
    WHERE at > now() + %(tolerance)s
)
SELECT
    (SELECT count(*) FROM watermark) AS judged,
    (SELECT count(*) FROM ahead) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT what, name, at, round(extract(epoch FROM at - now())) AS "seconds ahead"
            FROM ahead ORDER BY what = 'watermark' DESC, at DESC LIMIT 10
        ) AS worst) AS examples;
