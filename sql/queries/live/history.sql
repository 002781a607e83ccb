-- Part of the live page's statement: the newest candles of a symbol before a time, which is in seconds since 1970.
SELECT 'history' AS part, coalesce(json_agg(json_build_array(
    symbol, extract(epoch FROM bucket)::bigint, open, high, low, close, volume, day_volume, tick_count
) ORDER BY bucket), '[]') AS content
FROM (
    SELECT * FROM {candle} WHERE symbol = {symbol} AND bucket < to_timestamp({before}) ORDER BY bucket DESC LIMIT {limit}
) AS candle
