-- The days since a given one that are not trued up completely, oldest first: symbols in all, left, failed, and minutes that still
-- differ; when it was begun, and examples.
SELECT
    feed, day, count(*),
    count(*) FILTER (WHERE state IN ('wanted', 'differs')),
    count(*) FILTER (WHERE state = 'failed'),
    coalesce(sum(still_differing), 0)::bigint,
    min(wanted_at),
    coalesce((
        array_agg(concat_ws(': ', symbol, nullif(detail, '')) ORDER BY symbol)
        FILTER (WHERE state <> 'done' OR still_differing > 0)
    )[:10], '{}')
FROM ticks_platform.feed_true_up
WHERE feed = ANY (%(feeds)s) AND day >= %(since)s
GROUP BY feed, day
HAVING bool_or(state <> 'done' OR still_differing > 0)
ORDER BY day, feed;
