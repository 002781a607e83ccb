-- Events that cannot become rows, with the reason and the bytes as received.
CREATE TABLE IF NOT EXISTS ticks_platform.rejected_event (
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    journal_number  integer     NOT NULL REFERENCES ticks_platform.feed_checkpoint,
    -- The position of the frame, plus the place of the event within it.
    position        bigint      NOT NULL,
    received_at     timestamptz NOT NULL,
    reason          text        NOT NULL,
    -- Empty if it is a large frame, which is stored with the first of its rejected events.
    raw             bytea       NOT NULL,
    -- The event's place within `raw`, if that is a frame with others; NULL if all of `raw` was rejected.
    place           integer,
    -- The connection that brought it; NULL if an older release rejected it.
    epoch           bigint,
    connection      integer,
    PRIMARY KEY (journal_number, position)
);

CREATE INDEX IF NOT EXISTS rejected_event_received_at_idx ON ticks_platform.rejected_event (received_at);

-- For tables of releases that could not load them again.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.rejected_event'::regclass AND attname = 'place') THEN
        ALTER TABLE ticks_platform.rejected_event
            ADD COLUMN place integer,
            ADD COLUMN epoch bigint,
            ADD COLUMN connection integer;
    END IF;
END
$$;
