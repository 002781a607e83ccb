-- What the candles of one span of time should be, recomputed from the ticks. Each tick has a place of its own in the order, so that
-- first() and last() by it have no ties; an array in that order, as in the tests, says the same and takes twice as long.
-- What a tick may change is read off a list of all values of `updates`, and not from the masks of the candle's file: a wrong mask
-- would otherwise be wrong in both. candles_compared.sql compares the candles with it.
SELECT
    bucket,
    symbol,
    open,
    CASE WHEN open IS NOT NULL THEN high END AS high,
    CASE WHEN open IS NOT NULL THEN low END AS low,
    close,
    day_volume,
    volume,
    tick_count,
    CASE WHEN open IS NOT NULL THEN extremes ELSE 0 END AS price_count
FROM (
    SELECT
        time_bucket(%(width)s, time) AS bucket,
        symbol,
        first(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates IN (1, 3, 5, 7))) AS open,
        max(CASE WHEN updates IS NULL OR updates IN (2, 3, 6, 7) THEN price END) AS high,
        min(CASE WHEN updates IS NULL OR updates IN (2, 3, 6, 7) THEN price END) AS low,
        last(price, ticks_platform.tick_order(time, tick_id)) FILTER (WHERE price IS NOT NULL AND (updates IS NULL OR updates IN (1, 3, 5, 7))) AS close,
        last(day_volume, ticks_platform.tick_order(time, tick_id)) FILTER (
            WHERE day_volume IS NOT NULL AND (updates IS NULL OR updates IN (4, 5, 6, 7))
        ) AS day_volume,
        sum(CASE WHEN updates IS NULL OR updates IN (4, 5, 6, 7) THEN size END) AS volume,
        count(*) AS tick_count,
        count(CASE WHEN updates IS NULL OR updates IN (2, 3, 6, 7) THEN price END) AS extremes
    FROM stocks_real_time
    WHERE time >= %(begin)s AND time < %(end)s
    GROUP BY time_bucket(%(width)s, time), symbol
) AS counted
