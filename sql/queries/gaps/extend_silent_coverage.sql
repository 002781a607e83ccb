-- Extends coverage that a silence ended up to the last tick that is loaded, less the time that a frame may be in flight.
UPDATE ticks_platform.feed_coverage AS known
SET ends_at = last.ends_at
FROM unnest(%(symbols)s::text[], %(begins)s::timestamptz[]) AS given (symbol, begins_at)
CROSS JOIN LATERAL (
    SELECT received_at - %(in_flight)s AS ends_at
    FROM stocks_real_time AS tick
    WHERE tick.symbol = given.symbol AND tick.feed = %(feed)s AND tick.time > given.begins_at - INTERVAL '1 day'
    ORDER BY tick.time DESC
    LIMIT 1
) AS last
WHERE known.feed = %(feed)s AND known.symbol = given.symbol AND known.begins_at = given.begins_at
    AND known.epoch = %(epoch)s AND known.ended_by = 'silent' AND known.ends_at < last.ends_at;
