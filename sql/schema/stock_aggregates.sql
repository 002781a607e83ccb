-- Bars: aggregates that the provider made. A bar that is sent again replaces the earlier one. Candles are made from ticks, not from these.
CREATE TABLE IF NOT EXISTS stock_aggregates (
    symbol         text             NOT NULL,
    start_time     timestamptz      NOT NULL,
    end_time       timestamptz      NOT NULL,
    open_price     double precision,
    high_price     double precision,
    low_price      double precision,
    close_price    double precision,
    volume         double precision,
    average_price  double precision,
    feed           text             NOT NULL,
    received_at    timestamptz      NOT NULL,
    CONSTRAINT not_from_the_future CHECK (start_time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (start_time >= '1990-01-01 00:00:00+00'),
    CONSTRAINT ends_after_its_start CHECK (end_time > start_time)
);

SELECT create_hypertable('stock_aggregates', by_range('start_time', INTERVAL '7 days'), if_not_exists => true, create_default_indexes => false);

-- The window is part of the key: a bar of a second and one of a minute may begin together.
CREATE UNIQUE INDEX IF NOT EXISTS stock_aggregates_key ON stock_aggregates (symbol, start_time DESC, end_time, feed);

-- Finds all bars of an hour; see stock_quotes.
CREATE INDEX IF NOT EXISTS stock_aggregates_start_time_idx ON stock_aggregates USING brin (start_time) WITH (autosummarize = on);

COMMENT ON TABLE stock_aggregates IS 'Bars: aggregates as the provider sent them, in their latest correction.';
COMMENT ON COLUMN stock_aggregates.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN stock_aggregates.start_time IS 'Begin of the window.';
COMMENT ON COLUMN stock_aggregates.end_time IS 'End of the window: a second or a minute later.';
COMMENT ON COLUMN stock_aggregates.volume IS 'Volume of the window, with fractions where the provider sends them; the number of quotes for currencies.';
COMMENT ON COLUMN stock_aggregates.average_price IS 'Volume-weighted average price of the window.';
COMMENT ON COLUMN stock_aggregates.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN stock_aggregates.received_at IS 'When its latest correction reached our socket.';
