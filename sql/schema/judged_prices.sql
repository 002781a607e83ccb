-- How many ticks of the last hours were judged by their price, by the time that was read, and how many had an impossible one: each tick is read
-- once or twice, as it is new.
CREATE TABLE IF NOT EXISTS ticks_platform.judged_prices (
    begins_at   timestamptz  NOT NULL PRIMARY KEY,
    ends_at     timestamptz  NOT NULL,
    ticks       bigint       NOT NULL,
    impossible  bigint       NOT NULL
);
