-- Drops a continuous aggregate, with its policy.
DROP MATERIALIZED VIEW {candle};
