-- What was, and is to be, fetched out of a provider's history: one row per symbol and stretch of event time. No two of a kind
-- overlap but where one of them has failed, so that nothing is fetched twice.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_repair (
    repair_id   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    -- trades | bars
    kind        text        NOT NULL,
    -- Half-open, of event time.
    begins_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    -- wanted: not fetched to its end; fetched: all of it is in the journal of repairs; loaded: it is in its table; done: the
    -- candles are up to it, and its gaps are settled; failed: asking again cannot help.
    state       text        NOT NULL DEFAULT 'wanted'
        CONSTRAINT known_state CHECK (state IN ('wanted', 'fetched', 'loaded', 'done', 'failed')),
    -- Where the next page begins, in the provider's words; NULL before the first one.
    cursor      text,
    pages       integer     NOT NULL DEFAULT 0,
    -- Results in those pages, as the provider counts them.
    results     bigint      NOT NULL DEFAULT 0,
    -- The journal that holds the pages until they are loaded.
    journal_id  uuid,
    -- What went wrong last, and how often in a row.
    error       text        NOT NULL DEFAULT '',
    failures    integer     NOT NULL DEFAULT 0,
    -- Not to be tried before.
    retry_at    timestamptz,
    made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ends_after_it_begins CHECK (ends_at > begins_at)
);

CREATE INDEX IF NOT EXISTS feed_repair_symbol_idx ON ticks_platform.feed_repair (feed, symbol, kind, begins_at);

CREATE INDEX IF NOT EXISTS feed_repair_unfinished_idx ON ticks_platform.feed_repair (feed) WHERE state IN ('wanted', 'fetched', 'loaded');

COMMENT ON TABLE ticks_platform.feed_repair IS 'What was fetched out of providers'' histories, and what is still to be.';
