-- Best bids and offers, for feeds that stream them.
CREATE TABLE IF NOT EXISTS stock_quotes (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    bid_price    double precision,
    bid_size     double precision,
    ask_price    double precision,
    ask_size     double precision,
    -- As in stocks_real_time: identifies the quote permanently, and sorts quotes that share a time stamp by arrival.
    quote_id     uuid             NOT NULL,
    exchange     text,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00')
);

SELECT create_hypertable('stock_quotes', by_range('time', INTERVAL '1 day'), if_not_exists => true, create_default_indexes => false);

CREATE INDEX IF NOT EXISTS stock_quotes_symbol_time_idx ON stock_quotes (symbol, time DESC);

-- Finds all quotes of an hour, for the audit: quotes lie in the table about in order of arrival, so an index of a few pages finds the
-- hour. A B-tree as on the ticks would slow down every insert for that one reader.
CREATE INDEX IF NOT EXISTS stock_quotes_time_idx ON stock_quotes USING brin (time) WITH (autosummarize = on);

COMMENT ON TABLE stock_quotes IS 'Quotes: one row per change of the best bid or offer that a feed sent.';
COMMENT ON COLUMN stock_quotes.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN stock_quotes.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN stock_quotes.bid_size IS 'Size at the best bid, in the provider''s unit: Polygon documents round lots for stocks.';
COMMENT ON COLUMN stock_quotes.ask_size IS 'Size at the best offer, in the provider''s unit.';
COMMENT ON COLUMN stock_quotes.quote_id IS 'UUIDv7 of event time and arrival.';
COMMENT ON COLUMN stock_quotes.exchange IS 'Exchange of the quote, where the provider names one.';
COMMENT ON COLUMN stock_quotes.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN stock_quotes.received_at IS 'When it reached our socket.';
