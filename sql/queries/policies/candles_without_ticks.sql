-- The candles of one minute that a refresh of the given window would delete, since their ticks are gone. Given are also the ranges for
-- which there are ticks. Only what is materialized is counted; the rest of the candle is computed from ticks.
SELECT count(*), min(bucket), max(bucket)
FROM one_minute_candle
WHERE bucket >= now() - %(start_offset)s::interval
    AND bucket < coalesce((SELECT max(time) FROM stocks_real_time), 'infinity')
    AND NOT EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS kept (begins_at, ends_at)
        WHERE bucket >= begins_at AND bucket < ends_at
    );
