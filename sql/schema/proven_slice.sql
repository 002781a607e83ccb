-- What was read of the ticks of the hours that are not over: each tick once, as it is new. An hour is proven by the sum of its slices, which
-- are deleted then.
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
    PRIMARY KEY (begins_at, feed)
);
