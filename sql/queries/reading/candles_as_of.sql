-- Candles as they could have been known at a moment.
SELECT bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count
FROM unnest(%(symbols)s::text[]) AS asked (symbol)
CROSS JOIN LATERAL candles_as_of(asked.symbol, %(every)s, %(start)s, %(end)s, %(known_at)s) AS candle
