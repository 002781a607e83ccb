-- When each symbol of a feed was listened to: one row from an acknowledged subscription, or from the first tick after a silence,
-- to the last moment up to which all that the provider sent is known to have arrived. Two owners of a feed may overlap for
-- moments, as may two connections: it counts what any of them covers. Times are those of arrival, by the clock of the machine
-- that listened; intervals are half-open.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_coverage (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    begins_at   timestamptz NOT NULL,
    -- NULL while it goes on, as far as the database has heard.
    ends_at     timestamptz,
    -- disconnected | stalled | silent | unsubscribed | refused | stopped | switched_off; killed where nobody was left to say so:
    -- then it ends with the last data that is loaded, and is made longer when more comes out of the owner's journal.
    ended_by    text,
    epoch       bigint      NOT NULL,
    connection  integer     NOT NULL,
    -- Whether the gaps before and after it are in feed_gap.
    reckoned    boolean     NOT NULL DEFAULT false,
    -- Whether earlier ones are forgotten: what was missed before it is in feed_gap for good.
    is_first_kept boolean   NOT NULL DEFAULT false,
    PRIMARY KEY (feed, symbol, begins_at, epoch, connection),
    CONSTRAINT ends_after_it_begins CHECK (ends_at >= begins_at),
    CONSTRAINT ended_by_something CHECK ((ends_at IS NULL) = (ended_by IS NULL))
);

-- For tables that were made before any coverage was forgotten.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'is_first_kept'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage ADD COLUMN is_first_kept boolean NOT NULL DEFAULT false;
    END IF;
END
$$;

-- For who looks at what ends after some moment, or has not ended.
CREATE INDEX IF NOT EXISTS feed_coverage_ends_at_idx ON ticks_platform.feed_coverage (feed, symbol, coalesce(ends_at, 'infinity'));

CREATE INDEX IF NOT EXISTS feed_coverage_not_reckoned_idx ON ticks_platform.feed_coverage (feed) WHERE NOT reckoned;

-- Those whose end may still change.
CREATE INDEX IF NOT EXISTS feed_coverage_open_idx ON ticks_platform.feed_coverage (feed, epoch, connection)
    WHERE ends_at IS NULL OR ended_by = 'killed';

CREATE INDEX IF NOT EXISTS feed_coverage_first_kept_idx ON ticks_platform.feed_coverage (feed, symbol) WHERE is_first_kept;
