-- Whether a provider sends the volume of the day alone, and no sizes, so that a minute's volume has to be derived. Where no hour has a
-- volume of the day, no minute has: all minutes are read only where some may.
SELECT CASE WHEN EXISTS (
    SELECT FROM one_hour_candle
    WHERE bucket > %(start)s::timestamptz - INTERVAL '1 hour' AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
        AND day_volume IS NOT NULL
) THEN EXISTS (
    SELECT FROM one_minute_candle
    WHERE bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
        AND volume IS NULL AND day_volume_high IS NOT NULL
) ELSE false END
