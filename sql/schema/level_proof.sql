-- Hours and days whose candles were found to be those of the finer candles, with the account of all feeds at that time: it holds while
-- that is the same.
CREATE TABLE IF NOT EXISTS ticks_platform.level_proof (
    -- one_hour_candle or one_day_candle.
    candle       text         NOT NULL,
    -- Begin of the hour or day.
    bucket       timestamptz  NOT NULL,
    -- The sum of all feeds, as in feed_hour.
    loaded       numeric      NOT NULL,
    -- The sum of all feeds, as in feed_hour.
    fingerprint  numeric,
    -- When they were compared.
    compared_at  timestamptz  NOT NULL,
    PRIMARY KEY (candle, bucket)
);
