-- Part of the live page's statement: the candles of some symbols since a time. The time is in seconds since 1970.
SELECT 'candles' AS part, json_build_object('interval', {interval}, 'candles', coalesce(json_agg(json_build_array(
    symbol, extract(epoch FROM bucket)::bigint, open, high, low, close, volume, day_volume, tick_count
) ORDER BY symbol, bucket), '[]')) AS content
FROM {candle} AS candle
WHERE symbol = ANY ({symbols}) AND bucket >= to_timestamp({since})
