-- Candles of the last %(days)s days that cannot be the candle of any ticks. NaN passes every comparison, so it is asked for
-- by name. One row: how many candles there are, how many are broken, and a few of the broken ones.
WITH judged AS MATERIALIZED (
    SELECT bucket, symbol, open, high, low, close, tick_count,
        CASE
            WHEN open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL THEN 'a price is missing'
            WHEN ARRAY[open, high, low, close] && ARRAY['NaN', 'Infinity', '-Infinity']::double precision[] THEN 'a price is not finite'
            WHEN high < greatest(open, close, low) THEN 'high is not the highest'
            WHEN low > least(open, close, high) THEN 'low is not the lowest'
            WHEN low <= 0 THEN 'a price is not positive'
            WHEN tick_count < 1 THEN 'no tick in it'
        END AS problem
    FROM {candle}
    WHERE bucket >= now() - make_interval(days => %(days)s)
)
SELECT
    (SELECT count(*) FROM judged) AS candles,
    (SELECT count(problem) FROM judged) AS broken,
    (SELECT coalesce(jsonb_agg(to_jsonb(worst)), '[]')
        FROM (SELECT * FROM judged WHERE problem IS NOT NULL ORDER BY bucket DESC, symbol LIMIT 10) AS worst) AS examples;
