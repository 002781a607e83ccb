-- Chunks of ticks in the columnstore, without rows beside it, whose hours were all proven: they need not be read again while they are what they
-- were. Retention drops a seal with its chunk.
CREATE TABLE IF NOT EXISTS ticks_platform.sealed_chunk (
    -- The chunk, with its schema.
    chunk      text         NOT NULL PRIMARY KEY,
    begins_at  timestamptz  NOT NULL,
    ends_at    timestamptz  NOT NULL,
    -- The relation of its batches, how many there are, of how many rows, and the sum of where they are and who wrote them. Compressing the
    -- chunk again changes that, and the seal with it.
    relation   text         NOT NULL,
    batches    bigint       NOT NULL,
    rows       bigint       NOT NULL,
    identity   bigint       NOT NULL,
    sealed_at  timestamptz  NOT NULL,
    -- When it was last found to be so.
    seen_at    timestamptz  NOT NULL
);
