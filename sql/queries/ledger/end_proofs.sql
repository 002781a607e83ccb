-- Before all ticks of these hours are declared gone: proofs that do not hold end, since those that do are kept.
SELECT ticks_platform.end_proofs(hour, hour + INTERVAL '1 hour')
FROM (
    SELECT DISTINCT counted.hour
    FROM unnest(%(feeds)s::text[], %(hours)s::timestamptz[], %(numbers)s::bigint[]) AS given (feed, hour, number)
    JOIN ticks_platform.feed_hour AS counted USING (feed, hour)
    WHERE destination = 'stocks_real_time' AND gone + number = loaded AND isfinite(counted.hour)
) AS gone;
