-- Minute candles of the time from %(start_offset)s ago on whose ticks are gone: a refresh of them would delete them. The ticks are there
-- from each of %(begins)s to the same of %(ends)s. Only what is materialized is looked at; anything else is made of ticks.
SELECT count(*), min(bucket), max(bucket)
FROM one_minute_candle
WHERE bucket >= now() - %(start_offset)s::interval
    AND bucket < coalesce((SELECT max(time) FROM stocks_real_time), 'infinity')
    AND NOT EXISTS (
        SELECT FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS kept (begins_at, ends_at)
        WHERE bucket >= begins_at AND bucket < ends_at
    );
