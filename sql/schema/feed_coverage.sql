-- When each symbol of a feed was received: one row from an acknowledged subscription, or from the first tick after a silence, to the
-- last moment up to which all that the provider sent has arrived. Owners of a feed may overlap for moments, and so may connections:
-- a time is covered when any of them covers it. Times are those of arrival, by the clock of the receiving machine, corrected where it is known to be wrong; intervals are
-- half-open.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_coverage (
    feed        text        NOT NULL REFERENCES ticks_platform.feed,
    -- As the ticks call it.
    symbol      text        NOT NULL,
    begins_at   timestamptz NOT NULL,
    -- NULL while it lasts, as far as this database knows.
    ends_at     timestamptz,
    -- disconnected | stalled | silent | unsubscribed | refused | stopped | switched_off | killed | clock_stepped (this machine's clock was
    -- set) | slept. Coverage of an owner that was killed
    -- ends with the last data that is loaded, and is extended when more is loaded from its journal.
    ended_by    text,
    epoch       bigint      NOT NULL,
    connection  integer     NOT NULL,
    -- Whether the gaps before and after it are computed.
    computed    boolean     NOT NULL DEFAULT false,
    -- Whether earlier coverage is deleted: the gaps before this one are final.
    is_first_kept boolean   NOT NULL DEFAULT false,
    PRIMARY KEY (feed, symbol, begins_at, epoch, connection),
    CONSTRAINT ends_after_it_begins CHECK (ends_at >= begins_at),
    CONSTRAINT ended_by_something CHECK ((ends_at IS NULL) = (ended_by IS NULL))
);

-- For tables of older releases.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'reckoned'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage RENAME COLUMN reckoned TO computed;
        ALTER INDEX IF EXISTS ticks_platform.feed_coverage_not_reckoned_idx RENAME TO feed_coverage_not_computed_idx;
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed_coverage'::regclass AND attname = 'is_first_kept'
    ) THEN
        ALTER TABLE ticks_platform.feed_coverage ADD COLUMN is_first_kept boolean NOT NULL DEFAULT false;
    END IF;
END
$$;

-- Finds what ends after a moment, or has not ended.
CREATE INDEX IF NOT EXISTS feed_coverage_ends_at_idx ON ticks_platform.feed_coverage (feed, symbol, coalesce(ends_at, 'infinity'));

-- Finds what began long before a moment and reaches beyond it.
CREATE INDEX IF NOT EXISTS feed_coverage_long_idx ON ticks_platform.feed_coverage (feed, symbol, ends_at)
    WHERE ends_at - begins_at > INTERVAL '24 hours';

CREATE INDEX IF NOT EXISTS feed_coverage_not_computed_idx ON ticks_platform.feed_coverage (feed) WHERE NOT computed;

-- Coverage whose end may still change.
CREATE INDEX IF NOT EXISTS feed_coverage_open_idx ON ticks_platform.feed_coverage (feed, epoch, connection)
    WHERE ends_at IS NULL OR ended_by = 'killed';

CREATE INDEX IF NOT EXISTS feed_coverage_first_kept_idx ON ticks_platform.feed_coverage (feed, symbol) WHERE is_first_kept;
