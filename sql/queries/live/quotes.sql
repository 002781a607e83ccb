-- Part of the live page's statement: the newest price of each of these symbols, and the first one of that UTC day.
SELECT 'quotes' AS part, coalesce(json_agg(json_build_array(symbol, extract(epoch FROM bucket)::bigint, open, close)), '[]') AS content
FROM (
    SELECT DISTINCT ON (symbol) symbol, bucket, open, close
    FROM one_day_candle
    WHERE symbol = ANY ({symbols}) AND bucket > now() - INTERVAL '8 days' AND close IS NOT NULL
    ORDER BY symbol, bucket DESC
) AS quote
