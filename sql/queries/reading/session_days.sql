-- Candles of trading days that open in a time. The days are named, since the view takes a scan by index for each of them.
SELECT {columns}
FROM {candle}
WHERE opens_at >= %(start)s AND opens_at < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
    AND session >= %(first_day)s AND session <= %(last_day)s
