-- Keeps all rows of a continuous aggregate whose columns are not known, as a table.
CREATE TABLE {kept} AS SELECT * FROM {candle};
COMMENT ON TABLE {kept} IS 'Candles from before the adoption.';
