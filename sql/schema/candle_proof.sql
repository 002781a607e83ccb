-- What is proven of candles of a minute, by ten minutes and feed: that they equal all that was received of the feed, and repaired, by a moment.
-- A row holds while its hour has the same account in feed_hour; or, while the hour is new and still receives ticks, while its candles have the
-- same hash. Rows that hold no more are kept: they tell what was proven at a moment.
CREATE TABLE IF NOT EXISTS ticks_platform.candle_proof (
    -- Begin of the ten minutes.
    begins_at    timestamptz  NOT NULL,
    -- Until when they are proven.
    ends_at      timestamptz  NOT NULL,
    feed         text         NOT NULL,
    -- Of the hour, as in feed_hour.
    loaded       bigint       NOT NULL,
    -- Of the hour, as in feed_hour.
    gone         bigint       NOT NULL,
    -- Of the hour, as in feed_hour.
    fingerprint  numeric,
    -- The sum of the hashes of the candles, of all feeds.
    hash         numeric      NOT NULL,
    -- The candles equal all that was received by then.
    proven_at    timestamptz  NOT NULL,
    -- When that was found.
    recorded_at  timestamptz  NOT NULL,
    -- Until when it was known to hold; NULL while nobody knows better.
    held_until   timestamptz,
    PRIMARY KEY (begins_at, feed, recorded_at)
);

CREATE UNIQUE INDEX IF NOT EXISTS candle_proof_newest_idx ON ticks_platform.candle_proof (begins_at, feed) WHERE held_until IS NULL;
