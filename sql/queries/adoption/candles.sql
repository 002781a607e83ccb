-- How many candles a continuous aggregate has.
SELECT count(*) FROM {candle};
