-- Rows that were loaded and are gone, with a reason: what retention dropped, and what somebody declared. feed_hour.gone has their numbers by
-- feed and hour; this says who, when and why. Rows are only added.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_gone (
    -- The table that the rows were in.
    table_name   text        NOT NULL,
    -- The hours of event time that they were of: from the begin of the first to the end of the last.
    begins_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    -- How many there were by the account; below zero where rows that had been declared gone are there again.
    rows         bigint      NOT NULL,
    declared_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- `retention`, `upgrade`, or who declared it.
    declared_by  text        NOT NULL,
    reason       text        NOT NULL
);
