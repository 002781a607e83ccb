-- Events of the last two days that were rejected and not loaded again, by feed and reason, as a share of the events that were received in
-- that time. Numbers in a reason are left out, so that reasons that differ in them alone are one. Offending is a reason with a share of
-- more than one in a thousand.
WITH received AS (
    SELECT feed, sum(loaded)::bigint AS loaded
    FROM ticks_platform.feed_hour
    WHERE changed_at >= now() - INTERVAL '2 days' AND hour >= now() - INTERVAL '2 days'
    GROUP BY feed
),
rejected AS MATERIALIZED (
    SELECT feed, regexp_replace(left(reason, 200), '[0-9]+', '…', 'g') AS reason, count(*) AS events, max(received_at) AS last_received_at
    FROM ticks_platform.rejected_event
    WHERE received_at >= now() - INTERVAL '2 days'
    GROUP BY feed, 2
),
found AS (
    SELECT rejected.feed, rejected.reason, rejected.events, rejected.last_received_at,
        round(100.0 * rejected.events / (coalesce(received.loaded, 0) + sum(rejected.events) OVER (PARTITION BY rejected.feed)), 3)::double precision
            AS percent
    FROM rejected
    LEFT JOIN received USING (feed)
)
SELECT
    (SELECT count(*) FROM ticks_platform.feed) AS judged,
    (SELECT coalesce(sum(events), 0)::bigint FROM found WHERE percent > 0.1) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (SELECT * FROM found WHERE percent > 0.1 ORDER BY events DESC, feed, reason LIMIT 10) AS worst) AS examples;
