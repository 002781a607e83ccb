-- What the catch-up has refreshed: for each hour, and for each day, how many ticks were loaded when its refresh began. The
-- numbers in feed_hour only grow, so that a candle lacks ticks where its number there is another one. A time would not do: a
-- batch that was counted before a refresh began may be committed after it.
CREATE TABLE IF NOT EXISTS ticks_platform.candle_refresh (
    candle        text        NOT NULL,
    -- Begin of the hour, or of the day, UTC.
    bucket        timestamptz NOT NULL,
    loaded        bigint      NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    PRIMARY KEY (candle, bucket)
);
