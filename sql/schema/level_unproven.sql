-- For the candles of an hour and of a day: the buckets that were not compared with the finer candles as they are now, and those that differ.
CREATE OR REPLACE VIEW ticks_platform.level_unproven AS
WITH account AS (
    SELECT candle, time_bucket(width, hour) AS bucket, width, sum(loaded) AS loaded, sum(fingerprint) AS fingerprint,
        count(*) = count(fingerprint) AS is_known, sum(gone) = sum(loaded) AS is_gone
    FROM ticks_platform.feed_hour
    CROSS JOIN (VALUES ('one_hour_candle', INTERVAL '1 hour'), ('one_day_candle', INTERVAL '24 hours')) AS level (candle, width)
    WHERE destination = 'stocks_real_time' AND isfinite(hour)
    GROUP BY candle, time_bucket(width, hour), width
),
differing AS (
    SELECT candle, range_agg(tstzrange(bucket, bucket + CASE candle
        WHEN 'one_minute_candle' THEN INTERVAL '1 minute' WHEN 'one_hour_candle' THEN INTERVAL '1 hour' ELSE INTERVAL '24 hours'
    END)) AS wrong
    FROM ticks_platform.differing_candle
    GROUP BY candle
),
unproven AS (
    SELECT candle, range_agg(tstzrange(account.bucket, account.bucket + width)) AS unproven
    FROM account
    LEFT JOIN ticks_platform.level_proof AS proof USING (candle, bucket)
    WHERE (proof.loaded = account.loaded AND (is_known AND proof.fingerprint = account.fingerprint OR is_gone)) IS NOT true
    GROUP BY candle
)
SELECT candle, coalesce(unproven, '{}') AS unproven, coalesce(wrong, '{}') AS wrong
FROM (VALUES ('one_minute_candle'), ('one_hour_candle'), ('one_day_candle')) AS level (candle)
LEFT JOIN unproven USING (candle)
LEFT JOIN differing USING (candle);

COMMENT ON VIEW ticks_platform.level_unproven IS 'Which hours and days are not proven to be those of the finer candles.';
COMMENT ON COLUMN ticks_platform.level_unproven.candle IS 'one_minute_candle, one_hour_candle or one_day_candle.';
COMMENT ON COLUMN ticks_platform.level_unproven.unproven IS 'Buckets that were not compared as they are now; none of a minute.';
COMMENT ON COLUMN ticks_platform.level_unproven.wrong IS 'Buckets with a candle that differs.';
