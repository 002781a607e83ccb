-- The candles of some symbols in a time. Those of volume alone have no prices.
SELECT symbol, bucket, open, high, low, close, tick_count
FROM {candle}
WHERE symbol = ANY (%(symbols)s) AND bucket > %(after)s AND bucket <= %(newest)s
ORDER BY symbol, bucket
