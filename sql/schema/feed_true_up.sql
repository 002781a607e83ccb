-- The true-up: one row per feed, trading day and symbol, since trades are cancelled and corrected without a word on the WebSocket. What
-- is fetched for it are ranges of feed_repair, of the kinds true_up_bars and true_up_trades.
CREATE TABLE IF NOT EXISTS ticks_platform.feed_true_up (
    feed              text        NOT NULL REFERENCES ticks_platform.feed,
    -- The trading day, as the symbol's exchange dates it; UTC where there is no exchange.
    day               date        NOT NULL,
    -- As the ticks call it.
    symbol            text        NOT NULL,
    -- bars: the trades of the minutes that differ are fetched again; trades: those of the whole day.
    mode              text        NOT NULL CONSTRAINT known_mode CHECK (mode IN ('bars', 'trades')),
    -- Event time, half-open: the extended hours of the day, as far as the provider's history has them.
    begins_at         timestamptz NOT NULL,
    -- Its end.
    ends_at           timestamptz NOT NULL,
    -- wanted: bars (or trades) to be fetched; differs: candles differ from the bars, trades of those minutes to be fetched;
    -- done: compared for the last time; failed: asking again cannot help.
    state             text        NOT NULL DEFAULT 'wanted'
        CONSTRAINT known_state CHECK (state IN ('wanted', 'differs', 'done', 'failed')),
    -- Minutes that were compared; NULL until then, and by trades.
    compared          integer,
    -- The minutes that differed when the bars came.
    differed          timestamptz[],
    -- How many still do after the trades were fetched again.
    still_differing   integer,
    -- Trades of the day that are known to be cancelled or corrected.
    corrections       integer,
    -- Why it failed, or which minutes still differ.
    detail            text        NOT NULL DEFAULT '',
    -- When it was recorded.
    wanted_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the result was known.
    known_at          timestamptz,
    PRIMARY KEY (feed, day, symbol)
);

COMMENT ON TABLE ticks_platform.feed_true_up IS 'What the true-up of each day has found, by symbol.';
