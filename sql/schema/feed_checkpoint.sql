-- How far each journal is loaded. Moved in the transaction that stores the rows, so the two cannot disagree.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_checkpoint (
    -- The last 16 bits of every tick_id from this journal, so that two journals never make the same tick_id.
    journal_number  integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY (MINVALUE 1 MAXVALUE 65535),
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    -- A feed has a journal on each machine where it has run.
    journal_id      uuid        NOT NULL UNIQUE,
    -- Frames before this position are loaded. A position is the number of bytes of all frames before it.
    position        bigint      NOT NULL,
    -- Frames that this database has loaded from it.
    frames          bigint      NOT NULL,
    -- Frames that were committed elsewhere before this database knew the journal.
    frames_before   bigint      NOT NULL,
    committed_at    timestamptz NOT NULL
);
