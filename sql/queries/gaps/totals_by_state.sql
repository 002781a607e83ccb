-- How many gaps of feeds there are, how many are ongoing, and how many seconds they last, by state: all open ones, and those of the
-- other states that began since a moment (none where it is NULL). So nobody reads the settled gaps of years.
SELECT
    state, count(*), count(*) FILTER (WHERE ends_at IS NULL),
    sum(extract(epoch FROM coalesce(ends_at, %(now)s) - begins_at))::double precision, sum(rows_repaired)::bigint
FROM (
    SELECT state, begins_at, ends_at, rows_repaired
    FROM ticks_platform.feed_gap
    WHERE state = 'open' AND feed = ANY (%(feeds)s)
    UNION ALL
    SELECT state, begins_at, ends_at, rows_repaired
    FROM ticks_platform.feed_gap
    WHERE state <> 'open' AND feed = ANY (%(feeds)s) AND begins_at >= %(since)s::timestamptz
) AS counted
GROUP BY state
ORDER BY state;
