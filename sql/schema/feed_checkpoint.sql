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
    committed_at    timestamptz NOT NULL,
    -- Name of the host that the journal is on.
    host            text,
    -- What tells machines of one name apart.
    machine         text,
    -- The journal's file there.
    file            text,
    -- When its owner last told of it; NULL if none ever did, as for journals of repairs.
    heard_at        timestamptz,
    -- As of then, the position of the oldest frame that waited.
    heard_from      bigint,
    -- As of then, the position after the last frame.
    heard_to        bigint,
    -- As of then, the number of frames that were ever appended.
    heard_frames    bigint,
    -- Whether frames may have been appended since.
    is_open         boolean     NOT NULL DEFAULT false,
    -- When it was declared lost; NULL if it was not.
    lost_at         timestamptz,
    -- By whom it was declared lost.
    lost_by         text,
    -- Why it was declared lost.
    lost_reason     text
);

-- For tables of releases that did not hear of journals.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_checkpoint'::regclass AND attname = 'heard_at') THEN
        ALTER TABLE ticks_platform.feed_checkpoint
            ADD COLUMN host text,
            ADD COLUMN machine text,
            ADD COLUMN file text,
            ADD COLUMN heard_at timestamptz,
            ADD COLUMN heard_from bigint,
            ADD COLUMN heard_to bigint,
            ADD COLUMN heard_frames bigint,
            ADD COLUMN is_open boolean NOT NULL DEFAULT false,
            ADD COLUMN lost_at timestamptz,
            ADD COLUMN lost_by text,
            ADD COLUMN lost_reason text;
    END IF;
END
$$;
