-- Materialized candles of the last days that cannot be the candle of any ticks. A candle has four prices, or none if none of its ticks may form
-- one. NaN is greater than every number; greatest() and least() ignore NULL. Prices of zero and less are possible where the instrument
-- says so. One row: how many candles there are, how many are broken, and the newest of those.
WITH broken AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT bucket, symbol, open, high, low, close, tick_count, price_count,
            CASE
                WHEN num_nulls(open, high, low, close) NOT IN (0, CASE WHEN price_count = 0 THEN 4 ELSE 0 END) THEN 'a price is missing'
                WHEN greatest(open, high, low, close) >= 'Infinity' OR least(open, high, low, close) <= '-Infinity'
                    THEN 'a price is not finite'
                WHEN high < greatest(open, close, low) THEN 'high is not the highest'
                WHEN low > least(open, close, high) THEN 'low is not the lowest'
                WHEN low <= 0 AND symbol NOT IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative)
                    THEN 'a price is not positive'
                WHEN (tick_count >= 1) IS NOT true THEN 'no tick in it'
                WHEN price_count = 0 AND open IS NOT NULL THEN 'prices, and no tick that may form one'
                WHEN (price_count BETWEEN 0 AND tick_count) IS NOT true THEN 'price_count is not a part of tick_count'
            END AS problem
        FROM {materialized}
        WHERE bucket >= now() - make_interval(days => %(days)s)
    ) AS judged
    WHERE problem IS NOT NULL
)
SELECT
    (SELECT count(*) FROM {materialized} WHERE bucket >= now() - make_interval(days => %(days)s)) AS candles,
    (SELECT count(*) FROM broken) AS broken,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (SELECT * FROM broken ORDER BY bucket DESC, symbol LIMIT 10) AS worst) AS examples;
