-- How far each journal has been loaded. Moved in the transaction that stores the rows, so the two can never disagree.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_checkpoint (
    -- The last 16 bits of every tick_id out of this journal, so that two journals never make the same one.
    journal_number  integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY (MINVALUE 1 MAXVALUE 65535),
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    -- A feed has a journal on each machine that it has run on.
    journal_id      uuid        NOT NULL UNIQUE,
    -- Frames before this position are loaded. A position counts the bytes of all frames that came before.
    position        bigint      NOT NULL,
    -- Frames that this database has loaded out of it.
    frames          bigint      NOT NULL,
    -- Frames that were committed elsewhere before this database first saw the journal.
    frames_before   bigint      NOT NULL,
    committed_at    timestamptz NOT NULL
);
