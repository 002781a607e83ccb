-- Chunks of ticks in the columnstore, without rows beside it, whose hours were all proven: they need not be read again while they are what they
-- were. Compressing a chunk again changes that, and its seal with it. Retention drops a seal with its chunk.
CREATE TABLE IF NOT EXISTS ticks_platform.sealed_chunk (
    -- The chunk, with its schema.
    chunk      text         NOT NULL PRIMARY KEY,
    -- Begin of the chunk's time.
    begins_at  timestamptz  NOT NULL,
    -- Its end.
    ends_at    timestamptz  NOT NULL,
    -- The relation of its batches.
    relation   text         NOT NULL,
    -- How many batches there are.
    batches    bigint       NOT NULL,
    -- How many rows they have.
    rows       bigint       NOT NULL,
    -- Where the batches are, and which transactions wrote them, as one number.
    identity   bigint       NOT NULL,
    -- When that was.
    sealed_at  timestamptz  NOT NULL,
    -- When it was last found to be so.
    seen_at    timestamptz  NOT NULL
);
