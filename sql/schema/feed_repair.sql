-- What was fetched, and is to be fetched, from a provider's history: one row per symbol and range of event time. No two ranges of a
-- kind overlap unless one of them has failed, so nothing is fetched twice.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair (
    repair_id   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    -- trades | bars: of a gap, or of a day that was selected; extended_bars: of a gap outside regular hours, where those are requested
    -- apart; true_up_bars | true_up_trades: see feed_true_up
    kind        text        NOT NULL,
    -- Event time, half-open.
    begins_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    -- wanted: not fetched to its end; fetched: complete in the journal of repairs; loaded: in its table; done: candles up to date and
    -- gaps settled; failed: asking again cannot help.
    state       text        NOT NULL DEFAULT 'wanted'
        CONSTRAINT known_state CHECK (state IN ('wanted', 'fetched', 'loaded', 'done', 'failed')),
    -- The provider's token of the next page; NULL before the first page.
    cursor      text,
    pages       integer     NOT NULL DEFAULT 0,
    -- Results in those pages, as counted by the provider.
    results     bigint      NOT NULL DEFAULT 0,
    -- The journal that holds the pages until they are loaded.
    journal_id  uuid,
    -- The last error, and how many there were in a row.
    error       text        NOT NULL DEFAULT '',
    failures    integer     NOT NULL DEFAULT 0,
    -- Not tried again before this time.
    retry_at    timestamptz,
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ends_after_it_begins CHECK (ends_at > begins_at)
);

CREATE INDEX IF NOT EXISTS feed_repair_symbol_idx ON ticks_platform.feed_repair (feed, symbol, kind, begins_at);

-- Finds those that reach into a time, without those of years before.
CREATE INDEX IF NOT EXISTS feed_repair_ends_at_idx ON ticks_platform.feed_repair (feed, symbol, kind, ends_at);

-- Finds the newest error.
CREATE INDEX IF NOT EXISTS feed_repair_error_idx ON ticks_platform.feed_repair (feed, changed_at) WHERE error <> '';

CREATE INDEX IF NOT EXISTS feed_repair_unfinished_idx ON ticks_platform.feed_repair (feed) WHERE state IN ('wanted', 'fetched', 'loaded');

COMMENT ON TABLE ticks_platform.feed_repair IS 'What was fetched from providers'' histories, and what is to be fetched.';
