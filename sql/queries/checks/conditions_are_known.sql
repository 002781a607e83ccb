-- Conditions of the ticks of these feeds in the given window that are in no row of trade_condition. Lists of conditions are few, so they
-- are counted before they are taken apart.
WITH lists AS MATERIALIZED (
    SELECT feed, conditions, count(*) AS ticks, min(time) AS first_seen
    FROM stocks_real_time
    WHERE time >= now() - %(window)s AND feed = ANY (%(feeds)s) AND conditions IS NOT NULL
    GROUP BY feed, conditions
)
SELECT lists.feed, id.condition, sum(lists.ticks)::bigint AS ticks, min(lists.first_seen) AS first_seen
FROM lists, LATERAL (SELECT DISTINCT condition FROM unnest(lists.conditions) AS condition) AS id
WHERE id.condition NOT IN (SELECT condition FROM ticks_platform.trade_condition)
GROUP BY lists.feed, id.condition
ORDER BY lists.feed, id.condition;
