-- Notes hours that a check has found right.
WITH dropped AS (DELETE FROM ticks_platform.judged_candles WHERE judged_by = %(judged_by)s AND hour < now() - INTERVAL '8 days')
INSERT INTO ticks_platform.judged_candles (judged_by, hour, minutes, hash)
SELECT %(judged_by)s, hour, minutes, hash
FROM unnest(%(hours)s::timestamptz[], %(minutes)s::numeric[], %(hashes)s::numeric[]) AS given (hour, minutes, hash)
ORDER BY hour
ON CONFLICT (judged_by, hour) DO UPDATE SET minutes = excluded.minutes, hash = excluded.hash;
