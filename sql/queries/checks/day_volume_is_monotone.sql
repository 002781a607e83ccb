-- Candles in which the volume of the day falls, though it is cumulative, since the beginning of the UTC day in which the given
-- window begins. Each symbol may have one reset per UTC day, to less than a tenth: trading days do not begin at midnight UTC.
-- What falls and rises again within one minute is not seen, since no tick is read. One row: how many candles have a volume, in
-- how many it falls, and the newest of those.
WITH stepped AS (
    SELECT
        bucket,
        symbol,
        time_bucket(INTERVAL '1 day', bucket) AS day,
        greatest(
            day_volume_high,
            lag(day_volume) OVER (PARTITION BY symbol, time_bucket(INTERVAL '1 day', bucket) ORDER BY bucket)
        ) AS before,
        day_volume_low AS after,
        coalesce(
            day_volume_low < lag(day_volume) OVER (PARTITION BY symbol, time_bucket(INTERVAL '1 day', bucket) ORDER BY bucket),
            false
        ) OR day_volume < day_volume_high AS falls
    FROM {materialized}
    WHERE bucket >= time_bucket(INTERVAL '1 day', now() - %(window)s) AND day_volume_high IS NOT NULL
),
judged AS MATERIALIZED (
    SELECT *,
        falls AND NOT (
            after < before * 0.1
            AND count(*) FILTER (WHERE falls AND after < before * 0.1) OVER (PARTITION BY symbol, day ORDER BY bucket) = 1
        ) AS is_wrong
    FROM stepped
)
SELECT
    (SELECT count(*) FROM judged) AS judged,
    (SELECT count(*) FROM judged WHERE is_wrong) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT bucket, symbol, before AS "from", after AS "to"
            FROM judged WHERE is_wrong ORDER BY bucket DESC, symbol LIMIT 10
        ) AS worst) AS examples;
