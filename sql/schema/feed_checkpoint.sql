-- How far each feed has been loaded. Moved in the transaction that stores the rows, so the two can never disagree.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_checkpoint (
    feed          text        PRIMARY KEY REFERENCES ticks_platform.feed,
    -- Frames before this position are loaded. A position counts the bytes of all frames that came before.
    position      bigint      NOT NULL,
    ticks         bigint      NOT NULL,
    rejected      bigint      NOT NULL,
    committed_at  timestamptz NOT NULL
);
