-- What late_refresh has refreshed: for each hour and each day, how many ticks and corrections were loaded when its refresh began. The numbers in
-- feed_hour only grow, so a candle lacks ticks where its number there differs. A time would not do: a batch that was counted before
-- a refresh began may be committed after it.
CREATE TABLE IF NOT EXISTS ticks_platform.candle_refresh (
    candle        text        NOT NULL,
    -- Begin of the hour or day, UTC.
    bucket        timestamptz NOT NULL,
    loaded        bigint      NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    PRIMARY KEY (candle, bucket)
);
