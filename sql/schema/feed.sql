-- The feeds that this database knows, and whether each is enabled.
CREATE TABLE IF NOT EXISTS ticks_platform.feed (
    feed       text     PRIMARY KEY,
    provider   text     NOT NULL,
    -- Whether its prices come from the stand-in. A database holds either synthetic or live ticks, never both.
    synthetic  boolean  NOT NULL,
    -- Switched by the jobs enable_feed and disable_feed.
    enabled    boolean  NOT NULL DEFAULT true
);
