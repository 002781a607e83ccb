-- The symbols with candles in the last days: what a symbol that stands for many, such as Polygon's star, stands for.
SELECT DISTINCT symbol FROM one_day_candle WHERE bucket >= now() - INTERVAL '7 days' ORDER BY symbol;
