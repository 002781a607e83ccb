-- Sets whether a candle leaves out what is not materialized.
ALTER MATERIALIZED VIEW {candle} SET (timescaledb.materialized_only = {value});
