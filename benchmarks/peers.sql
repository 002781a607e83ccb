-- Tables of the peers, with the chunks and indexes of ours.
CREATE TABLE IF NOT EXISTS pathway_ticks (
    at        timestamptz NOT NULL,
    symbol    text NOT NULL,
    price     double precision,
    size      double precision,
    exchange  text,
    trade_id  text,
    -- Pathway's own.
    time      bigint NOT NULL,
    diff      smallint NOT NULL
);
SELECT create_hypertable('pathway_ticks', by_range('at', INTERVAL '1 day'), if_not_exists => true);
CREATE INDEX IF NOT EXISTS ix_pathway_symbol_at ON pathway_ticks (symbol, at DESC);

-- cryptofeed's, as its examples/postgres_tables.sql has it, without the primary key, which a hypertable does not take.
CREATE TABLE IF NOT EXISTS cryptofeed_trades (
    id          bigserial,
    timestamp   timestamptz NOT NULL,
    receipt     timestamptz,
    exchange    text,
    symbol      text,
    side        text,
    amount      double precision,
    price       double precision,
    trade_id    text,
    order_type  text
);
SELECT create_hypertable('cryptofeed_trades', by_range('timestamp', INTERVAL '1 day'), if_not_exists => true);
CREATE INDEX IF NOT EXISTS ix_cryptofeed_symbol_timestamp ON cryptofeed_trades (symbol, timestamp DESC);
