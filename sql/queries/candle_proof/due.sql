-- Spans of time, of ten minutes at most, in which candles are to be compared with their ticks, the newest first: begin, end, how many ticks
-- were loaded of their hour, and whether they are of the last two hours. They are those of the given window that were not proven; those of hours of which ticks were counted, as many as
-- have `budget` ticks, beside the last two hours; those that are given, whose candles have changed; and minutes that have another number of ticks than their candles,
-- of hours that received ticks in the window after they were over (48 at most, the newest changes); by ten minutes where proven_slice has their number.
-- They end where the candles are materialized, and are closed; three minutes before now in an hour of more than `many` ticks. What does not lie wholly in the chunks that its ticks were loaded into is left
-- out: retention dropped those ticks, and the candles are all that is left of them.
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
counted AS MATERIALIZED (
    SELECT hour, sum(loaded)::bigint AS loaded, sum(loaded - gone) AS present, min(counted_since) AS counted_since, max(changed_at) AS changed_at
    FROM ticks_platform.feed_hour
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
    GROUP BY hour
),
known AS MATERIALIZED (
    SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, sum(ends_at - begins_at) AS length, range_agg(tstzrange(begins_at, ends_at)) AS spans
    FROM ticks_platform.proven_candles
    GROUP BY 1
),
late AS MATERIALIZED (
    SELECT hour
    FROM counted
    WHERE changed_at > now() - %(window)s AND changed_at > hour + INTERVAL '61 minutes'
    ORDER BY changed_at DESC
    LIMIT 48
),
-- Of hours that were read in slices it is known how many ticks these have.
slice AS MATERIALIZED (
    SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, begins_at, ends_at, sum(rows) AS ticks
    FROM ticks_platform.proven_slice
    WHERE time_bucket(INTERVAL '1 hour', begins_at) IN (SELECT hour FROM late)
    GROUP BY begins_at, ends_at
),
sliced AS MATERIALIZED (
    SELECT hour
    FROM slice
    GROUP BY hour
    HAVING sum(ends_at - begins_at) = INTERVAL '1 hour' AND max(ends_at - begins_at) <= INTERVAL '10 minutes'
),
other_count AS (
    SELECT hour, bucket
    FROM (
        SELECT hour, time_bucket(INTERVAL '10 minutes', begins_at) AS bucket, sum(slice.ticks) AS ticks
        FROM slice
        JOIN sliced USING (hour)
        GROUP BY 1, 2
    ) AS stored
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(tick_count), 0) AS ticks
        FROM {table}
        WHERE {table}.bucket >= stored.bucket AND {table}.bucket < stored.bucket + INTERVAL '10 minutes'
    ) AS made
    WHERE stored.ticks <> made.ticks AND %(until)s::timestamptz IS NOT NULL
    UNION ALL
    SELECT hour, bucket
    FROM (SELECT hour FROM late EXCEPT SELECT hour FROM sliced) AS late
    CROSS JOIN LATERAL (
        SELECT bucket
        FROM (
            SELECT time_bucket(INTERVAL '1 minute', time) AS bucket, count(*) AS ticks
            FROM stocks_real_time
            WHERE time >= late.hour AND time < late.hour + INTERVAL '1 hour'
            GROUP BY 1
        ) AS stored
        FULL JOIN (
            SELECT bucket, sum(tick_count) AS ticks
            FROM {table}
            WHERE bucket >= late.hour AND bucket < late.hour + INTERVAL '1 hour'
            GROUP BY 1
        ) AS made USING (bucket)
        WHERE stored.ticks IS DISTINCT FROM made.ticks
    ) AS found
    WHERE %(until)s::timestamptz IS NOT NULL
),
given AS MATERIALIZED (
    SELECT hour, range_agg(tstzrange(begins_at, ends_at)) AS spans
    FROM (
        SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, begins_at, ends_at
        FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS given (begins_at, ends_at)
        UNION ALL
        SELECT DISTINCT hour, time_bucket(INTERVAL '10 minutes', bucket), time_bucket(INTERVAL '10 minutes', bucket) + INTERVAL '10 minutes'
        FROM other_count
    ) AS changed
    GROUP BY hour
),
unproven AS (
    SELECT hour
    FROM (
        SELECT hour, sum(loaded) OVER (PARTITION BY hour < now() - INTERVAL '2 hours' ORDER BY hour DESC) - loaded AS before
        FROM counted
        LEFT JOIN known USING (hour)
        WHERE present > 0 AND coalesce(length, INTERVAL '0') < INTERVAL '1 hour' AND hour < now()
    ) AS newest
    WHERE before < %(budget)s OR hour >= now() - INTERVAL '2 hours'
),
wanted AS (
    SELECT hour, greatest(hour, time_bucket(INTERVAL '1 minute', now() - %(window)s)) AS since
    FROM generate_series(time_bucket(INTERVAL '1 hour', now() - %(window)s - INTERVAL '1 minute'), now(), INTERVAL '1 hour') AS hour
    WHERE hour NOT IN (SELECT hour FROM unproven)
    UNION
    SELECT hour, hour FROM unproven
    UNION
    SELECT hour, hour FROM given
),
bounded AS (
    SELECT
        hour,
        min(since) AS since,
        least(
            hour + INTERVAL '1 hour',
            -- Of many ticks some are late, and what is compared before them is compared twice.
            time_bucket(INTERVAL '1 minute', now() - CASE WHEN min(loaded) > %(many)s THEN INTERVAL '3 minutes' ELSE INTERVAL '0' END),
            %(until)s
        ) AS until
    FROM wanted
    LEFT JOIN counted USING (hour)
    GROUP BY hour
),
whole AS (
    SELECT hour, since, until
    FROM bounded
    WHERE since < until
        AND until - since = (
            SELECT sum(least(range_end, until) - greatest(range_start, since))
            FROM chunk
            WHERE range_start < until AND range_end > since
        )
        AND NOT EXISTS (
            SELECT
            FROM counted
            JOIN chunk ON range_start < until AND range_end > since AND created_at > counted_since
            WHERE counted.hour = bounded.hour
        )
),
due AS (
    SELECT
        hour,
        tstzmultirange(tstzrange(since, until)) - coalesce(known.spans - coalesce(given.spans, '{{}}'), known.spans, '{{}}') AS spans
    FROM whole
    LEFT JOIN known USING (hour)
    LEFT JOIN given USING (hour)
)
SELECT greatest(lower(span), slice) AS begins_at, least(upper(span), slice + INTERVAL '10 minutes') AS ends_at, coalesce(loaded, 0),
    slice > now() - INTERVAL '2 hours'
FROM due
LEFT JOIN counted USING (hour)
CROSS JOIN LATERAL unnest(spans) AS span
CROSS JOIN LATERAL generate_series(time_bucket(INTERVAL '10 minutes', lower(span)), upper(span), INTERVAL '10 minutes') AS slice
WHERE slice < upper(span)
ORDER BY begins_at DESC;
