-- Hours whose ticks can be compared with candles that are %(width)s wide: those of the last %(window)s, and those that a feed
-- has changed in that time (48 at most, the newest changes). Each ends no later than the last closed bucket. Hours that do not
-- lie wholly in the chunks that their ticks were loaded into are left out: retention took those ticks, and the candles are
-- all that is left of them.
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
    WHERE destination = 'stocks_real_time' AND changed_at > now() - %(window)s AND isfinite(hour)
    GROUP BY hour
    ORDER BY max(changed_at) DESC
    LIMIT 48
),
wanted AS (
    SELECT hour
    FROM generate_series(time_bucket(INTERVAL '1 hour', now() - %(window)s), now(), INTERVAL '1 hour') AS hour
    UNION
    SELECT hour FROM changed
),
bounded AS (
    SELECT hour, least(hour + INTERVAL '1 hour', time_bucket(%(width)s, now())) AS until
    FROM wanted
)
SELECT hour, until
FROM bounded
WHERE hour < until
    AND until - hour = (
        SELECT sum(least(range_end, until) - greatest(range_start, hour))
        FROM chunk
        WHERE range_start < until AND range_end > hour
    )
    AND NOT EXISTS (
        SELECT
        FROM ticks_platform.feed_hour
        JOIN chunk ON range_start < until AND range_end > bounded.hour AND created_at > counted_since
        WHERE destination = 'stocks_real_time' AND feed_hour.hour = bounded.hour
    )
ORDER BY hour;
