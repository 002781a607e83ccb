-- Takes one tick back, and says by how much that changes the fingerprint of its hour. Symbol and time are constants, so that of a
-- compressed chunk only one batch is decompressed.
WITH before AS MATERIALIZED (
    SELECT ticks_platform.tick_hash(tick_id, price, size, updates)::numeric AS hash
    FROM stocks_real_time
    WHERE symbol = %(symbol)s AND time = %(time)s AND tick_id = %(tick_id)s
)
UPDATE stocks_real_time
SET updates = coalesce(updates, 7) | 8
WHERE symbol = %(symbol)s AND time = %(time)s AND tick_id = %(tick_id)s
RETURNING
    time_bucket(INTERVAL '1 hour', time),
    coalesce(ticks_platform.tick_hash(tick_id, price, size, updates) - (SELECT hash FROM before), 0);
