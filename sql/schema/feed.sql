-- The feeds that this database knows, and whether each is enabled. Rows by hand are of a feed `manual`, which is here once retention has
-- dropped some of them.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices come from the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- Switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true,
    -- Whether its ticks make candles, as feeds.yaml said at its last start; if not, it is secondary.
    candles    boolean  NOT NULL DEFAULT true,
    -- How many of its rejected events retention has deleted. Its ledger still has them.
    rejected_deleted  bigint  NOT NULL DEFAULT 0,
    -- Whether its days are trued up, as feeds.yaml and the provider say; NULL until candles are proven first.
    trues_up   boolean,
    -- When `candles` was changed, until the job apply_primary_feeds has followed: the candles before are made of other ticks.
    candles_changed_at  timestamptz
);

-- For tables of releases without secondary feeds, or without retention of rejected events.
-- ALTER waits for every query on the table and holds up all others, so it is left out when there is nothing to do.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'candles') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN candles boolean NOT NULL DEFAULT true;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'rejected_deleted') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN rejected_deleted bigint NOT NULL DEFAULT 0;
    END IF;
    -- Of releases that did not say which candles are final.
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'trues_up') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN trues_up boolean;
    END IF;
    -- Of releases that judged candles by the new primary feed at once.
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'ticks_platform.feed'::regclass AND attname = 'candles_changed_at') THEN
        ALTER TABLE ticks_platform.feed ADD COLUMN candles_changed_at timestamptz;
    END IF;
END
$$;
