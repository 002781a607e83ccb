-- Computes the fingerprint of an hour of which it is not known, and takes what is there for what was loaded if the number is right.
-- Loaders that have ticks of that hour, mostly long past, wait meanwhile; if one of them is at it, this is left for later.
-- Returns whether the hour has a fingerprint now.
CREATE OR REPLACE FUNCTION ticks_platform.fill_fingerprint(of_feed text, of_hour timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    expected bigint;
    found record;
BEGIN
    SELECT loaded - gone INTO expected
    FROM ticks_platform.feed_hour
    WHERE feed = of_feed AND destination = 'stocks_real_time' AND hour = of_hour AND fingerprint IS NULL
    FOR UPDATE SKIP LOCKED;
    IF expected IS NULL THEN
        RETURN false;
    END IF;
    -- A statement of its own: it sees what was committed before the lock.
    SELECT count(*) AS rows, coalesce(sum(ticks_platform.tick_hash(tick_id, price, size, updates)), 0) AS fingerprint INTO found
    FROM stocks_real_time
    WHERE feed = of_feed AND time >= of_hour AND time < of_hour + INTERVAL '1 hour';
    IF found.rows <> expected OR ticks_platform.fingerprint_version() IS NULL THEN
        RETURN false;
    END IF;
    UPDATE ticks_platform.feed_hour
    SET fingerprint = found.fingerprint, fingerprint_version = ticks_platform.fingerprint_version()
    WHERE feed = of_feed AND destination = 'stocks_real_time' AND hour = of_hour;
    INSERT INTO ticks_platform.proven_hour
    VALUES (of_feed, of_hour, found.rows, found.fingerprint, clock_timestamp())
    ON CONFLICT (feed, hour) DO UPDATE
    SET rows = excluded.rows, fingerprint = excluded.fingerprint, proven_at = excluded.proven_at;
    DELETE FROM ticks_platform.wrong_hour WHERE feed = of_feed AND hour = of_hour;
    RETURN true;
END
$$;

COMMENT ON FUNCTION ticks_platform.fill_fingerprint IS 'Computes the fingerprint of an hour of ticks of which it is not known.';
