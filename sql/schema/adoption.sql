-- The adoptions of tables of others. Of ticks of the feed manual up to `last_time`, it is not known when they arrived.
CREATE TABLE IF NOT EXISTS ticks_platform.adoption (
    -- When it was done.
    adopted_at  timestamptz  PRIMARY KEY DEFAULT clock_timestamp(),
    -- How many ticks were kept; NULL, as the times, if it was of other tables.
    ticks       bigint,
    -- Event time of the first of them.
    first_time  timestamptz,
    -- Event time of the last of them.
    last_time   timestamptz,
    -- What was done, in words.
    steps       text[]       NOT NULL
);
