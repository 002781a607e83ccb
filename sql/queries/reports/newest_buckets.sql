-- The newest candle of the last ten days, open or closed, and the newest closed one.
SELECT max(bucket), max(bucket) FILTER (WHERE bucket <= clock_timestamp() - %(width)s)
FROM {candle}
WHERE bucket > now() - INTERVAL '10 days'
