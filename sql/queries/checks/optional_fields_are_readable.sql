-- Optional fields of the last two UTC days that could not be read. One row: on how many feeds that are registered, how many events, and
-- which fields, the most frequent first.
WITH found AS MATERIALIZED (
    SELECT feed, field, sum(events)::bigint AS events, max(last_received_at) AS last_received_at
    FROM ticks_platform.malformed_field
    WHERE day >= (now() AT TIME ZONE 'UTC')::date - 1
    GROUP BY feed, field
)
SELECT
    (SELECT count(*) FROM ticks_platform.feed) AS judged,
    (SELECT coalesce(sum(events), 0)::bigint FROM found) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (SELECT * FROM found ORDER BY events DESC, feed, field LIMIT 10) AS worst) AS examples;
