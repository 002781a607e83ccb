-- Ticks of the given window with an impossible price, of those that may form one: bit 1 or 2 of updates, and neither 8 (cancelled)
-- nor 16 (secondary). NaN is greater than every number, so it is asked for by name. Zero and less are possible where the instrument
-- says so. One row: how many ticks there are, how many of them are wrong, and the newest of those.
WITH judged AS MATERIALIZED (
    SELECT time, symbol, price, feed,
        CASE
            WHEN price IS NULL THEN 'the price is missing'
            WHEN price IN ('NaN', 'Infinity', '-Infinity') THEN 'the price is not finite'
            ELSE 'the price is not positive'
        END AS problem
    FROM stocks_real_time
    WHERE time >= now() - %(window)s
        AND (
            price IS NULL OR price IN ('NaN', 'Infinity', '-Infinity')
            OR (price <= 0 AND symbol NOT IN (SELECT instrument.symbol FROM instrument WHERE may_be_negative))
        )
        AND (updates IS NULL OR updates & 27 BETWEEN 1 AND 3)
)
SELECT
    (SELECT count(*) FROM stocks_real_time WHERE time >= now() - %(window)s AND (updates IS NULL OR updates & 27 BETWEEN 1 AND 3)) AS judged,
    (SELECT count(*) FROM judged) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT time, symbol, price::text AS price, feed, problem FROM judged ORDER BY time DESC, symbol LIMIT 10
        ) AS worst) AS examples;
