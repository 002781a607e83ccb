-- What the conditions of trades mean, by provider: a copy of the package's table, for queries. Rows are only added. The rules of a trade
-- are those of the newest version that is valid on its day; a condition that is in no row restricts nothing.
CREATE TABLE IF NOT EXISTS ticks_platform.trade_condition (
    -- Version of the table that it came with.
    rules_version       smallint  NOT NULL,
    -- First day of the version.
    valid_from          date      NOT NULL,
    -- As in feeds.yaml.
    provider            text      NOT NULL,
    -- As in stocks_real_time.conditions.
    condition           smallint  NOT NULL,
    -- The provider's name for it.
    name                text      NOT NULL,
    -- Letters that the tapes use for it; empty where they have none.
    letters             text      NOT NULL,
    -- Whether a trade with it may set the open and the close of a candle.
    updates_open_close  boolean   NOT NULL,
    -- Whether it may set high and low.
    updates_high_low    boolean   NOT NULL,
    -- Whether it counts in the volume.
    updates_volume      boolean   NOT NULL,
    PRIMARY KEY (provider, condition, rules_version)
);
