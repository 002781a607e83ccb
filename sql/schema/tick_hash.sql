-- The hash of what a tick is and says: its id, which holds its time, its price, its size and what it may change. The sum over an hour
-- is the hour's fingerprint. NULL without a price. Each hash is the seed of the next one. A zero hashes to its seed, so a size that is
-- NULL is told from it by the first seed, and left out, as `updates` is where it is NULL.
-- The loader computes the same by numpy (ticks_platform/ingestion/rows/fingerprint.py): a change here is a new version.
-- It is written so that the planner puts its body in its place: one expression, no SET.
CREATE OR REPLACE FUNCTION ticks_platform.tick_hash(tick_id uuid, price double precision, size double precision, updates smallint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN updates IS NULL AND size IS NOT NULL THEN hashfloat8extended(size, hashfloat8extended(price, uuid_hash_extended(tick_id, 0)))
    WHEN updates IS NULL THEN hashfloat8extended(price, uuid_hash_extended(tick_id, 1))
    WHEN size IS NOT NULL
        THEN hashint2extended(updates, hashfloat8extended(size, hashfloat8extended(price, uuid_hash_extended(tick_id, 0))))
    ELSE hashint2extended(updates, hashfloat8extended(price, uuid_hash_extended(tick_id, 1)))
END;

COMMENT ON FUNCTION ticks_platform.tick_hash IS 'Hash of id, price, size and updates of a tick; the sum over an hour is in feed_hour.fingerprint.';
