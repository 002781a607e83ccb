-- The rows by hand of some time that are copies of a feed's ticks and are not marked as secondary, or are marked and are none.
WITH hours AS MATERIALIZED (
    {hours}
)
SELECT tick.symbol, feeds IS NOT NULL AND NOT gaps @> time AS is_copy, coalesce(min(feeds), '{{}}'), count(*)
FROM hours
JOIN stocks_real_time AS tick ON tick.symbol = hours.symbol AND time >= hour AND time < hour + INTERVAL '1 hour'
WHERE time >= %(begin)s AND time < %(end)s AND feed = 'manual'
    AND (feeds IS NOT NULL AND NOT gaps @> time) <> (coalesce(updates, 0) & 16 = 16)
GROUP BY tick.symbol, feeds IS NOT NULL AND NOT gaps @> time
ORDER BY tick.symbol;
