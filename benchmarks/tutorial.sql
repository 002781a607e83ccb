-- The table of Timescale's financial-ticks tutorial, unchanged.
CREATE SCHEMA IF NOT EXISTS tutorial;
CREATE TABLE IF NOT EXISTS tutorial.stocks_real_time (
    time        timestamptz NOT NULL,
    symbol      text        NOT NULL,
    price       double precision,
    day_volume  int
);
SELECT create_hypertable('tutorial.stocks_real_time', by_range('time'), if_not_exists => true);
CREATE INDEX IF NOT EXISTS ix_symbol_time ON tutorial.stocks_real_time (symbol, time DESC);
