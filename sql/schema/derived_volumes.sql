-- The volume of each minute that begins in a time, by the rule of one_minute_candle_volume: the sum of the trade sizes, or else what the
-- volume of the day grew by since the minute before that has one. That view reads all minutes of a symbol; this reads those of the day
-- before, in which the day that is being counted has begun.
--   since    the end of that minute before: where it is earlier than the bucket, nothing told the volume of the time between, which is in
--            this minute's. Empty in the first minute of a day that has one, whose volume is that of the day so far; and for sums of sizes
CREATE OR REPLACE FUNCTION ticks_platform.derived_volumes(
    of_symbols text[], begins timestamptz, ends timestamptz,
    OUT bucket timestamptz, OUT symbol text, OUT volume double precision, OUT derived boolean, OUT since timestamptz
) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT
        bucket,
        symbol,
        coalesce(volume, CASE WHEN day_volume_high IS NOT NULL THEN greatest(day_volume_high - coalesce(highest, 0), 0) END),
        volume IS NULL AND day_volume_high IS NOT NULL,
        CASE WHEN volume IS NULL AND day_volume_high IS NOT NULL THEN previous_bucket + INTERVAL '1 minute' END
    FROM (
        SELECT
            *,
            max(day_volume_high) OVER of_the_day AS highest,
            max(bucket) FILTER (WHERE day_volume_high IS NOT NULL) OVER of_the_day AS previous_bucket
        FROM (
            SELECT *, count(*) FILTER (WHERE day_volume_high < previous / 2.0) OVER (PARTITION BY symbol ORDER BY bucket) AS counting
            FROM (
                SELECT candle.bucket, candle.symbol, candle.volume, candle.day_volume_high,
                    -- Candles without a volume of the day are a partition of their own, so the previous candle is one that has it.
                    lag(candle.day_volume_high) OVER (PARTITION BY candle.symbol, candle.day_volume_high IS NULL ORDER BY candle.bucket) AS previous
                FROM one_minute_candle AS candle
                WHERE candle.bucket >= begins - INTERVAL '24 hours' AND candle.bucket < ends
                    AND (of_symbols IS NULL OR candle.symbol = ANY (of_symbols))
            ) AS minutes
        ) AS counted
        WINDOW of_the_day AS (PARTITION BY symbol, counting ORDER BY bucket ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS grown
    WHERE bucket >= begins
$$;

COMMENT ON FUNCTION ticks_platform.derived_volumes IS 'The volume of each minute, from trade sizes or else from the volume of the day, and since when that grew by it.';
