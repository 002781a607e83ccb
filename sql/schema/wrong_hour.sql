-- Hours whose ticks were found not to be those that were loaded: what checks tell until the hour is right, or declared. So that it does not
-- take the time of others, such an hour is read again after eight minutes, and then after twice as long each time.
CREATE TABLE IF NOT EXISTS ticks_platform.wrong_hour (
    feed         text         NOT NULL,
    -- Begin of the hour.
    hour         timestamptz  NOT NULL,
    -- Ticks that were loaded, by the account.
    loaded       bigint       NOT NULL,
    -- Those that were gone with a reason.
    gone         bigint       NOT NULL,
    -- Rows that were in the table.
    stored       bigint       NOT NULL,
    -- The fingerprint that was expected; NULL if none was known.
    fingerprint  numeric,
    -- Whether the number was right.
    is_changed   boolean      NOT NULL,
    -- When it was first found.
    found_at     timestamptz  NOT NULL,
    -- When it is read again.
    retry_at     timestamptz  NOT NULL,
    -- How often it was read.
    tries        integer      NOT NULL,
    PRIMARY KEY (hour, feed)
);
