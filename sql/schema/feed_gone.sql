-- Rows that were loaded and are gone, with a reason: what retention dropped, and what somebody declared. feed_hour.gone has their numbers by
-- feed and hour; this says who, when and why. Rows are only added.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_gone (
    -- The table that the rows were in.
    table_name   text        NOT NULL,
    -- The begin of the first hour of event time that they were of.
    begins_at    timestamptz NOT NULL,
    -- The end of the last one.
    ends_at      timestamptz NOT NULL,
    -- How many there were by the account; below zero where rows that had been declared gone are there again.
    rows         bigint      NOT NULL,
    -- When they were dropped by retention, or declared.
    declared_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- `retention`, `upgrade`, or who declared it.
    declared_by  text        NOT NULL,
    -- Why they are gone.
    reason       text        NOT NULL
);
