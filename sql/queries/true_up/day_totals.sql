-- The state of a day's true-up: symbols by state, and sums over them.
SELECT
    count(*),
    count(*) FILTER (WHERE state = 'done'),
    count(*) FILTER (WHERE state = 'failed'),
    coalesce(sum(compared), 0)::bigint,
    coalesce(sum(cardinality(differed)), 0)::bigint,
    coalesce(sum(still_differing), 0)::bigint,
    coalesce(sum(corrections), 0)::bigint,
    min(wanted_at) FILTER (WHERE state IN ('wanted', 'differs')),
    coalesce((array_agg(symbol ORDER BY symbol) FILTER (WHERE state IN ('wanted', 'differs')))[:10], '{}')
FROM ticks_platform.feed_true_up
WHERE feed = %(feed)s AND day = %(day)s;
