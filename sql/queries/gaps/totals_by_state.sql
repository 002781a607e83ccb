-- How many gaps of feeds there are, how many are ongoing, and how many seconds they last, by state.
SELECT
    state, count(*), count(*) FILTER (WHERE ends_at IS NULL),
    sum(extract(epoch FROM coalesce(ends_at, %(now)s) - begins_at))::double precision, sum(rows_repaired)::bigint
FROM ticks_platform.feed_gap
WHERE feed = ANY (%(feeds)s) AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s))
GROUP BY state
ORDER BY state;
