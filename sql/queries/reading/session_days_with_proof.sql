-- Candles of trading days that open in a time, with what is proven of them.
SELECT {columns}, proof, proven_at
FROM ({candles}) AS candle
JOIN (
    SELECT bucket AS opens_at, symbol, proof, proven_at
    FROM proven_candle
    WHERE every = 'session' AND bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
) AS known USING (opens_at, symbol)
WHERE NOT %(proven)s OR proof IN ('proven', 'final')
