-- Buckets with a candle that is not what its ticks, or the finer candles, make of it, and that a refresh has not mended.
CREATE TABLE IF NOT EXISTS ticks_platform.differing_candle (
    candle    text         NOT NULL,
    -- Begin of the bucket.
    bucket    timestamptz  NOT NULL,
    found_at  timestamptz  NOT NULL,
    PRIMARY KEY (candle, bucket)
);
