ALTER MATERIALIZED VIEW {candle} SET (timescaledb.materialized_only = {value});
