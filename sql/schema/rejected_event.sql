-- Events that cannot become rows, with the reason and the bytes as received.
CREATE TABLE IF NOT EXISTS ticks_platform.rejected_event (
    feed            text        NOT NULL REFERENCES ticks_platform.feed,
    journal_number  integer     NOT NULL REFERENCES ticks_platform.feed_checkpoint,
    -- The position of the frame, plus the place of the event within it.
    position        bigint      NOT NULL,
    received_at     timestamptz NOT NULL,
    reason          text        NOT NULL,
    raw             bytea       NOT NULL,
    PRIMARY KEY (journal_number, position)
);
