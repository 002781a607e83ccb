-- The ticks. The first four columns are those of Timescale's financial-ticks tutorial.
CREATE TABLE IF NOT EXISTS stocks_real_time (
    time         timestamptz      NOT NULL,
    symbol       text             NOT NULL,
    price        double precision,
    day_volume   bigint,
    -- A UUIDv7 (RFC 9562) of event time and arrival: it sorts ticks that share a time stamp, and identifies each for good.
    tick_id      uuid             NOT NULL,
    size         double precision,
    bid          double precision,
    ask          double precision,
    feed         text             NOT NULL,
    received_at  timestamptz      NOT NULL,
    -- A tick from the future would move a candle's watermark for good. The loader rejects it with a reason; this is the
    -- last line, for whoever inserts by other ways. Providers have been seen 16 s ahead; five minutes are too many.
    CONSTRAINT not_from_the_future CHECK (time <= received_at + INTERVAL '5 minutes'),
    CONSTRAINT not_before_1990 CHECK (time >= '1990-01-01 00:00:00+00')
);

SELECT create_hypertable('stocks_real_time', by_range('time', INTERVAL '1 day'), if_not_exists => true);

CREATE INDEX IF NOT EXISTS ix_symbol_time ON stocks_real_time (symbol, time DESC);
