-- Gives a continuous aggregate another name; its policy and what reads it follow.
ALTER MATERIALIZED VIEW {candle} RENAME TO {kept};
COMMENT ON VIEW {kept} IS 'From before the adoption: open and close are by time alone.';
