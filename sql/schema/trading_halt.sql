-- When trading of a symbol was halted, and when it resumed, as a provider told. Polygon tells it of symbols that are listed on Nasdaq only.
CREATE TABLE IF NOT EXISTS trading_halt (
    time         timestamptz  NOT NULL,
    symbol       text         NOT NULL,
    kind         text         NOT NULL CHECK (kind IN ('halt', 'resume')),
    feed         text         NOT NULL,
    received_at  timestamptz  NOT NULL,
    PRIMARY KEY (symbol, time, kind, feed)
);

COMMENT ON TABLE trading_halt IS 'Halts of trading and their ends.';
COMMENT ON COLUMN trading_halt.time IS 'Event time, as stamped by the provider.';
COMMENT ON COLUMN trading_halt.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN trading_halt.kind IS 'halt, or resume: trading goes on.';
COMMENT ON COLUMN trading_halt.feed IS 'Feed that brought it, as named in feeds.yaml.';
COMMENT ON COLUMN trading_halt.received_at IS 'When it reached our socket.';
