-- The gaps: intervals within a symbol's sessions in which it was not received although the feed streamed it, so ticks may be missing.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_gap (
    gap_id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    feed           text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol         text        NOT NULL,
    -- Times of arrival, by the clock of the receiving machine; the interval is half-open.
    begins_at      timestamptz NOT NULL,
    -- NULL while it lasts.
    ends_at        timestamptz,
    -- What ended the coverage before it, as in feed_coverage; not_subscribed when there was none.
    cause          text        NOT NULL,
    -- open | repaired | unrepairable | ignored. Gaps of a feed that was switched off are ignored from the start.
    state          text        NOT NULL DEFAULT 'open'
        CONSTRAINT known_state CHECK (state IN ('open', 'repaired', 'unrepairable', 'ignored')),
    rows_repaired  bigint      NOT NULL DEFAULT 0,
    detail         text        NOT NULL DEFAULT '',
    found_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (feed, symbol, begins_at),
    CONSTRAINT ends_after_it_begins CHECK (ends_at > begins_at)
);

CREATE INDEX IF NOT EXISTS feed_gap_ends_at_idx ON ticks_platform.feed_gap (feed, symbol, coalesce(ends_at, 'infinity'));
-- Finds the newest.
CREATE INDEX IF NOT EXISTS feed_gap_begins_at_idx ON ticks_platform.feed_gap (begins_at);
CREATE INDEX IF NOT EXISTS feed_gap_open_idx ON ticks_platform.feed_gap (feed, begins_at) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS feed_gap_ongoing_idx ON ticks_platform.feed_gap (feed, symbol) WHERE ends_at IS NULL;

COMMENT ON TABLE ticks_platform.feed_gap IS 'Intervals within a symbol''s sessions in which it was not received, and what became of them.';
