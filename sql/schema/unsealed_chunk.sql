-- Chunks of ticks in the columnstore that are not sealed yet, as they were when that was noted: they are sealed once all their hours were proven
-- since, while they are still the same.
CREATE TABLE IF NOT EXISTS ticks_platform.unsealed_chunk (
    -- The chunk, with its schema.
    chunk      text         NOT NULL PRIMARY KEY,
    -- The relation of its batches.
    relation   text         NOT NULL,
    -- How many batches there are.
    batches    bigint       NOT NULL,
    -- How many rows they have.
    rows       bigint       NOT NULL,
    -- Where the batches are, and which transactions wrote them, as one number.
    identity   bigint       NOT NULL,
    -- After which time its hours have to be proven.
    noted_at   timestamptz  NOT NULL
);
