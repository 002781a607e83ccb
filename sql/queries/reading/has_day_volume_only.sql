-- Whether a provider sends the volume of the day alone, and no sizes, so that a minute's volume has to be derived.
SELECT EXISTS (
    SELECT FROM one_minute_candle
    WHERE bucket >= %(start)s AND bucket < %(end)s AND (%(symbols)s::text[] IS NULL OR symbol = ANY(%(symbols)s))
        AND volume IS NULL AND day_volume_high IS NOT NULL
)
