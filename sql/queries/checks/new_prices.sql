-- What is known of the prices of the given window: those of ticks that are counted from the slices that were read to prove them, late ones
-- included; those of hours in which none are counted, as rows by hand are, from the ticks. One row: how many ticks there are, and how many of
-- them have an impossible price, as prices_are_positive_and_finite.sql judges them. A slice that begins before the window is judged with it.
WITH uncounted AS MATERIALIZED (
    SELECT hour
    FROM generate_series(time_bucket(INTERVAL '1 hour', now() - %(window)s), now(), INTERVAL '1 hour') AS hour
    WHERE NOT EXISTS (
        SELECT FROM ticks_platform.feed_hour AS counted
        WHERE destination = 'stocks_real_time' AND feed <> 'manual' AND counted.hour = hour.hour
    )
)
SELECT coalesce(sum(ticks), 0)::bigint, coalesce(sum(impossible), 0)::bigint
FROM (
    SELECT rows AS ticks, impossible FROM ticks_platform.proven_slice WHERE ends_at > now() - %(window)s
    UNION ALL
    SELECT found.ticks, found.impossible
    FROM uncounted
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS ticks,
            count(*) FILTER (
                WHERE (price > 0 AND price < 'Infinity') IS NOT true AND NOT (
                    price > '-Infinity' AND price < 'Infinity' AND symbol IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative)
                ) IS true
            ) AS impossible
        FROM stocks_real_time
        -- Apart, so that batches of the columnstore are left out by their first and last time.
        WHERE time >= hour AND time < hour + INTERVAL '1 hour' AND time >= now() - %(window)s AND (updates IS NULL OR updates & 27 BETWEEN 1 AND 3)
    ) AS found
) AS known;
