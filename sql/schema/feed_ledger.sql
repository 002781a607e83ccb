-- The account of each feed's connections: what was received and what became of it. The equation holds at every commit, since the
-- database refuses a row in which it does not.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_ledger (
    feed               text        NOT NULL REFERENCES ticks_platform.feed,
    epoch              bigint      NOT NULL,
    connection         integer     NOT NULL,
    first_received_at  timestamptz NOT NULL,
    last_received_at   timestamptz NOT NULL,
    frames             bigint      NOT NULL,
    -- Decoded items of those frames.
    events             bigint      NOT NULL,
    -- New rows in stocks_real_time, stock_quotes or stock_aggregates.
    loaded             bigint      NOT NULL,
    -- Bars that replaced an earlier bar of their window.
    replaced           bigint      NOT NULL DEFAULT 0,
    -- Events that the provider sent again.
    duplicate          bigint      NOT NULL,
    -- Rows in rejected_event.
    rejected           bigint      NOT NULL,
    -- Events without market data: heartbeats, statuses.
    control            bigint      NOT NULL,
    -- When the last frame with data arrived, or the first of the frames that were read together with it.
    last_data_at       timestamptz,
    PRIMARY KEY (feed, epoch, connection),
    CONSTRAINT every_event_is_accounted_for CHECK (events = loaded + replaced + duplicate + rejected + control)
);

-- For tables of releases without bars, or without coverage.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_ledger'::regclass AND attname = 'replaced') THEN
        ALTER TABLE ticks_platform.feed_ledger
            ADD COLUMN replaced bigint NOT NULL DEFAULT 0,
            DROP CONSTRAINT every_event_is_accounted_for,
            ADD CONSTRAINT every_event_is_accounted_for CHECK (events = loaded + replaced + duplicate + rejected + control);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_ledger'::regclass AND attname = 'last_data_at') THEN
        ALTER TABLE ticks_platform.feed_ledger ADD COLUMN last_data_at timestamptz;
    END IF;
END
$$;
