-- What the conditions of trades mean: a copy of the package's table, for queries. Rows are only added. A rule holds from the midnight
-- that begins valid_from, by the exchange's clock, until a newer one of its condition. What is in no row restricts nothing.
CREATE TABLE IF NOT EXISTS ticks_platform.trade_condition (
    -- Version of the table that it came with; of two rules with one valid_from, the greater one holds.
    rules_version       smallint  NOT NULL,
    -- First day of the rule.
    valid_from          date      NOT NULL,
    -- As in feeds.yaml.
    provider            text      NOT NULL,
    -- As in stocks_real_time.conditions.
    condition           smallint  NOT NULL,
    -- The provider's name for it.
    name                text      NOT NULL,
    -- Letters that the tapes use for it; empty where they have none.
    letters             text      NOT NULL,
    -- Whether a trade with it may set the open and the close of a candle; NULL for what restricts nothing.
    updates_open_close  boolean,
    -- Whether it may set high and low.
    updates_high_low    boolean,
    -- Whether it counts in the volume.
    updates_volume      boolean,
    PRIMARY KEY (provider, condition, valid_from, rules_version)
);
