-- The account of each feed's connections: what was received and what became of it. The equation holds at every commit,
-- since the database refuses a row in which it does not.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_ledger (
    feed               text        NOT NULL REFERENCES ticks_platform.feed,
    epoch              bigint      NOT NULL,
    connection         integer     NOT NULL,
    first_received_at  timestamptz NOT NULL,
    last_received_at   timestamptz NOT NULL,
    frames             bigint      NOT NULL,
    -- Decoded items of those frames.
    events             bigint      NOT NULL,
    -- Rows in stocks_real_time.
    loaded             bigint      NOT NULL,
    -- Events that the provider sent again.
    duplicate          bigint      NOT NULL,
    -- Rows in rejected_event.
    rejected           bigint      NOT NULL,
    -- Events without market data: heartbeats, statuses.
    control            bigint      NOT NULL,
    PRIMARY KEY (feed, epoch, connection),
    CONSTRAINT every_event_is_accounted_for CHECK (events = loaded + duplicate + rejected + control)
);
