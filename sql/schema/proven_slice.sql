-- What was read of the ticks of the last hours: each tick once, as it is new. An hour is proven by the sum of its slices. They are kept for
-- twelve hours, so that of an hour that gets late ticks only the slices are read that have some.
CREATE TABLE IF NOT EXISTS ticks_platform.proven_slice (
    feed         text         NOT NULL,
    -- Begin of the time that was read.
    begins_at    timestamptz  NOT NULL,
    -- Its end, in the same hour.
    ends_at      timestamptz  NOT NULL,
    -- How many rows the feed had in that time.
    rows         bigint       NOT NULL,
    -- The sum of their hashes.
    fingerprint  numeric      NOT NULL,
    -- When that was.
    read_at      timestamptz  NOT NULL,
    -- How many of them may form a price, and have an impossible one.
    impossible   bigint       NOT NULL DEFAULT 0,
    PRIMARY KEY (begins_at, feed)
);

-- For tables of releases that read prices apart.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.proven_slice'::regclass AND attname = 'impossible') THEN
        ALTER TABLE ticks_platform.proven_slice ADD COLUMN impossible bigint NOT NULL DEFAULT 0;
        -- Of what was read before, it is not known.
        DELETE FROM ticks_platform.proven_slice;
    END IF;
    DROP TABLE IF EXISTS ticks_platform.judged_prices;
END
$$;
