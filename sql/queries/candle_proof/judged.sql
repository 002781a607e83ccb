-- Hours since a time of which all candles of a minute are proven: begin, how many candles are judged, the hash of the minutes and that of the
-- candles of `table` in it, and whether this check has found them right.
WITH known AS MATERIALIZED (
    SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, sum(candles)::bigint AS candles, sum(hash) AS minutes
    FROM ticks_platform.proven_candles
    WHERE begins_at >= time_bucket(INTERVAL '1 hour', %(since)s::timestamptz)
    GROUP BY 1
    HAVING sum(ends_at - begins_at) = INTERVAL '1 hour'
),
-- Those that are judged, where it is not the minutes alone.
made AS MATERIALIZED (
    SELECT bucket AS hour, count(*) AS candles, sum(hash_record_extended(
        (bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count), 0
    )) AS hash
    FROM {table}
    WHERE %(levels)s AND bucket >= time_bucket(INTERVAL '1 hour', %(since)s::timestamptz)
    GROUP BY bucket
)
SELECT
    hour,
    CASE WHEN %(levels)s THEN coalesce(made.candles, 0) ELSE known.candles END,
    known.minutes,
    coalesce(made.hash, 0),
    coalesce((known.minutes, coalesce(made.hash, 0)) = (done.minutes, done.hash), false)
FROM known
LEFT JOIN made USING (hour)
LEFT JOIN (SELECT * FROM ticks_platform.judged_candles WHERE judged_by = %(judged_by)s) AS done USING (hour);
