-- The feeds that this database has seen, and whether each one is wanted.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices are made up by the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- What the operator wants: switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true
);
