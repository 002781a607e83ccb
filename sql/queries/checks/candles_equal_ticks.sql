-- What the candles of one span of time should be, recomputed from the ticks. Each tick_id is there once, so that first() and
-- last() by it have no ties; an array in the order of tick_id, as in the tests, says the same and takes twice as long.
-- candles_compared.sql compares the candles with it.
SELECT
    time_bucket(%(width)s, time) AS bucket,
    symbol,
    first(price, tick_id) AS open,
    max(price) AS high,
    min(price) AS low,
    last(price, tick_id) AS close,
    last(day_volume, tick_id) AS day_volume,
    sum(size) AS volume,
    count(*) AS tick_count
FROM stocks_real_time
WHERE time >= %(begin)s AND time < %(end)s
GROUP BY time_bucket(%(width)s, time), symbol
