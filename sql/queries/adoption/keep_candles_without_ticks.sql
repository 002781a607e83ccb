-- Keeps the candles of a continuous aggregate that cannot be made of ticks any more, as a table.
CREATE TABLE {kept} AS
SELECT *
FROM {candle} AS candle
WHERE NOT EXISTS (
    SELECT FROM stocks_real_time AS tick
    WHERE tick.symbol = candle.symbol AND tick.time >= candle.bucket AND tick.time < candle.bucket + %(width)s
);
COMMENT ON TABLE {kept} IS 'Candles from before the adoption, whose ticks are gone. Their open and close are by time alone.';
