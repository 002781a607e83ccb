-- Trades that the market took back: what the tick had before, and when that was known. Rows are only added; the tick keeps its row.
CREATE TABLE IF NOT EXISTS tick_correction (
    -- A UUIDv7, made as a tick_id is: of the same place in the same journal, so that nothing is added twice.
    correction_id  uuid         PRIMARY KEY,
    -- Event time of the trade, or of the message that took it back.
    time           timestamptz  NOT NULL,
    symbol         text         NOT NULL,
    exchange       text,
    trade_id       text         NOT NULL,
    feed           text         NOT NULL,
    kind           text         NOT NULL CHECK (kind IN ('cancelled', 'corrected')),
    -- NULL until its tick is stored.
    tick_id        uuid,
    known_at       timestamptz  NOT NULL,
    source         text         NOT NULL,
    price          double precision,
    size           double precision,
    updates        smallint,
    conditions     smallint[]
);

CREATE INDEX IF NOT EXISTS tick_correction_tick_idx ON tick_correction (tick_id);

-- The ones that wait for their tick: few, and looked up with each batch.
CREATE INDEX IF NOT EXISTS tick_correction_waiting_idx ON tick_correction (feed, time) WHERE tick_id IS NULL;

COMMENT ON TABLE tick_correction IS 'Trades that the market took back, with what their ticks had before.';
COMMENT ON COLUMN tick_correction.correction_id IS 'UUIDv7, made as a tick_id is.';
COMMENT ON COLUMN tick_correction.time IS 'Event time of the trade that was taken back.';
COMMENT ON COLUMN tick_correction.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN tick_correction.exchange IS 'Where it traded, as in stocks_real_time.';
COMMENT ON COLUMN tick_correction.trade_id IS 'The provider''s id of the trade.';
COMMENT ON COLUMN tick_correction.feed IS 'Feed that brought the tick, as named in feeds.yaml.';
COMMENT ON COLUMN tick_correction.kind IS 'cancelled, or corrected: then the corrected trade is a tick of its own.';
COMMENT ON COLUMN tick_correction.tick_id IS 'The tick; empty until it is stored.';
COMMENT ON COLUMN tick_correction.known_at IS 'When we learned of it.';
COMMENT ON COLUMN tick_correction.source IS 'Where it was said, in the provider''s words.';
COMMENT ON COLUMN tick_correction.price IS 'Price of the trade that was taken back.';
COMMENT ON COLUMN tick_correction.size IS 'Its size.';
COMMENT ON COLUMN tick_correction.updates IS 'What it could change in a candle until then.';
COMMENT ON COLUMN tick_correction.conditions IS 'Its conditions.';
