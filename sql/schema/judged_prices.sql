-- How many ticks of the last hour were judged by their price, by the time that was read, and how many had an impossible one: each tick is read
-- once or twice, as it is new.
CREATE TABLE IF NOT EXISTS ticks_platform.judged_prices (
    -- Begin of the time that was read.
    begins_at   timestamptz  NOT NULL PRIMARY KEY,
    -- Its end.
    ends_at     timestamptz  NOT NULL,
    -- Ticks that may form a price.
    ticks       bigint       NOT NULL,
    -- Those with an impossible one.
    impossible  bigint       NOT NULL
);
