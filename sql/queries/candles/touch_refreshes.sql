-- Notes that buckets of a candle were refreshed, of those whose ticks were counted at an earlier refresh.
UPDATE ticks_platform.candle_refresh SET refreshed_at = now()
WHERE candle = %(candle)s AND bucket >= %(begin)s AND bucket < %(end)s;
