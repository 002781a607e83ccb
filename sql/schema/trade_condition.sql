-- What the conditions of trades mean, by provider: the rows of trade_condition.csv, which the decoders read too. Rows are only added.
-- A condition's rule on a day in New York is the row with the newest valid_from until then; of several, the one of the greatest version. A
-- condition that is in no row restricts nothing.
CREATE TABLE IF NOT EXISTS ticks_platform.trade_condition (
    -- Version of the rules that it came with.
    rules_version       smallint  NOT NULL,
    -- The first day on which it holds.
    valid_from          date      NOT NULL,
    -- As in feeds.yaml.
    provider            text      NOT NULL,
    -- As in stocks_real_time.conditions.
    condition           smallint  NOT NULL,
    -- The provider's name for it.
    name                text      NOT NULL,
    -- The letters of the tapes for it, with the tapes where they differ.
    letters             text      NOT NULL,
    -- Whether a trade with it may set the open and the close of a candle.
    updates_open_close  boolean   NOT NULL,
    -- Whether it may set high and low.
    updates_high_low    boolean   NOT NULL,
    -- Whether it counts in the volume.
    updates_volume      boolean   NOT NULL,
    PRIMARY KEY (provider, condition, rules_version)
);

INSERT INTO ticks_platform.trade_condition
SELECT * FROM json_populate_recordset(NULL::ticks_platform.trade_condition, %(rows)s)
ON CONFLICT DO NOTHING;
