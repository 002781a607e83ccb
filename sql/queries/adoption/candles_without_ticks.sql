-- How many candles of a continuous aggregate have no tick any more: retention has dropped them.
SELECT count(*)
FROM {candle} AS candle
WHERE NOT EXISTS (
    SELECT FROM stocks_real_time AS tick
    WHERE tick.symbol = candle.symbol AND tick.time >= candle.bucket AND tick.time < candle.bucket + %(width)s
);
