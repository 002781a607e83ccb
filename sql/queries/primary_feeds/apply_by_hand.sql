-- Marks rows by hand that are copies of a feed's ticks, and no others. Symbols are named so that only their part of a compressed chunk is
-- unpacked.
WITH hours AS MATERIALIZED (
    {hours}
)
UPDATE stocks_real_time AS tick
SET updates = CASE WHEN feeds IS NOT NULL AND NOT gaps @> time THEN coalesce(updates, 7) | 16 ELSE nullif(updates & ~16, 7) END
FROM hours
WHERE tick.symbol = hours.symbol AND time_bucket(INTERVAL '1 hour', time) = hour
    AND time >= %(begin)s AND time < %(end)s AND tick.symbol = ANY (%(symbols)s) AND feed = 'manual'
    AND (feeds IS NOT NULL AND NOT gaps @> time) <> (coalesce(updates, 0) & 16 = 16);
