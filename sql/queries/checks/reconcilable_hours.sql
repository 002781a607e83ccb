-- Spans of time, of an hour at most, whose ticks can be compared with candles of the given width: those of the given window,
-- from the beginning of a bucket to that of the open one; and the hours that received ticks in that time after they were over
-- (48 at most, the newest changes). What does not lie wholly in the chunks that its ticks were loaded into is left out:
-- retention dropped those ticks, and the candles are all that is left of them.
WITH chunk AS MATERIALIZED (
    SELECT
        range_start,
        range_end,
        -- By name, for releases whose view does not have it.
        (to_jsonb(chunks) ->> 'chunk_creation_time')::timestamptz AS created_at
    FROM timescaledb_information.chunks
    WHERE hypertable_name = 'stocks_real_time' AND hypertable_schema = (
        SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = 'stocks_real_time'::regclass
    )
),
changed AS (
    SELECT hour
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
        AND changed_at > now() - %(window)s AND changed_at > hour + INTERVAL '61 minutes'
    GROUP BY hour
    ORDER BY max(changed_at) DESC
    LIMIT 48
),
wanted AS (
    SELECT hour, greatest(hour, time_bucket(%(width)s, now() - %(window)s)) AS since
    FROM generate_series(time_bucket(INTERVAL '1 hour', now() - %(window)s - %(width)s), now(), INTERVAL '1 hour') AS hour
    UNION
    SELECT hour, hour FROM changed
),
bounded AS (
    SELECT hour, since, least(hour + INTERVAL '1 hour', time_bucket(%(width)s, now())) AS until
    FROM wanted
)
SELECT since, until
FROM bounded
WHERE since < until
    AND until - since = (
        SELECT sum(least(range_end, until) - greatest(range_start, since))
        FROM chunk
        WHERE range_start < until AND range_end > since
    )
    AND NOT EXISTS (
        SELECT
        FROM ticks_platform.feed_hour
        JOIN chunk ON range_start < until AND range_end > since AND created_at > counted_since
        WHERE destination = 'stocks_real_time' AND feed_hour.hour = bounded.hour
    )
ORDER BY since;
