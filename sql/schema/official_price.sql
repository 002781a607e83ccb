-- Official prices of exchanges' sessions. They repeat trades of auctions, which are ticks: so they are none, and count in no volume.
CREATE TABLE IF NOT EXISTS official_price (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    -- The exchange's trading day.
    session      date             NOT NULL,
    kind         text             NOT NULL CHECK (kind IN ('open', 'close', 'corrected_close')),
    price        double precision NOT NULL,
    size         double precision,
    -- Empty where the provider does not tell.
    exchange     text             NOT NULL,
    is_primary   boolean          NOT NULL,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    PRIMARY KEY (symbol, session, kind, exchange, feed)
);

COMMENT ON TABLE official_price IS 'Official opens and closes of exchanges'' sessions, in their latest correction.';
COMMENT ON COLUMN official_price.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN official_price.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN official_price.session IS 'The trading day, as the exchange dates it.';
COMMENT ON COLUMN official_price.kind IS 'open, close, or corrected_close: a correction of the consolidated close by the listing exchange.';
COMMENT ON COLUMN official_price.price IS 'Price, in the currency that the symbol is quoted in.';
COMMENT ON COLUMN official_price.size IS 'Size of the auction, for information: its trade is among the ticks.';
COMMENT ON COLUMN official_price.exchange IS 'The exchange whose price it is, as the provider numbers or names it.';
COMMENT ON COLUMN official_price.is_primary IS 'Whether that exchange lists the symbol.';
COMMENT ON COLUMN official_price.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN official_price.received_at IS 'When it reached our socket.';
