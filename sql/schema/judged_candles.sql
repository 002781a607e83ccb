-- Hours of which the candles of a minute were judged by a check and found right, as they were then: they are not read again while they are the
-- same.
CREATE TABLE IF NOT EXISTS ticks_platform.judged_candles (
    -- The check.
    judged_by  text         NOT NULL,
    -- Begin of the hour.
    hour       timestamptz  NOT NULL,
    -- The sum of the hashes of its candles of a minute, from proven_candles.
    minutes    numeric      NOT NULL,
    -- That of its candles of an hour, where they were judged too.
    hash       numeric      NOT NULL,
    PRIMARY KEY (judged_by, hour)
);
