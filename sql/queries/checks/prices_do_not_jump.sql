-- Jumps of the price in the judged time: log returns from one close to the next of the same symbol whose robust z-score is
-- beyond the limit. Deviations are measured from the median, in median absolute deviations of the given window, which one jump
-- does not move, and no finer than a basis point. A return over a longer pause is divided by the root of its minutes, as the
-- spread of prices grows; so a change over night is no jump. One row: how many returns were judged, how many jump, and the
-- worst.
WITH followed AS (
    SELECT
        bucket,
        symbol,
        close,
        lag(close) OVER by_symbol AS previous,
        extract(epoch FROM bucket - lag(bucket) OVER by_symbol)::double precision / 60 AS minutes
    FROM one_minute_candle
    WHERE bucket >= now() - %(window)s AND close > 0 AND close < 'Infinity'
    WINDOW by_symbol AS (PARTITION BY symbol ORDER BY bucket)
),
returned AS MATERIALIZED (
    SELECT bucket, symbol, previous, close, ln(close / previous) / sqrt(minutes) AS change
    FROM followed
    WHERE minutes > 0
),
middle AS (
    SELECT symbol, percentile_cont(0.5) WITHIN GROUP (ORDER BY change) AS median
    FROM returned
    GROUP BY symbol
    HAVING count(*) >= %(enough)s
),
spread AS (
    SELECT symbol, median, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(change - median)) AS deviation
    FROM returned
    JOIN middle USING (symbol)
    GROUP BY symbol, median
),
judged AS MATERIALIZED (
    SELECT bucket, symbol, previous, close, 0.6745 * abs(change - median) / greatest(deviation, 0.0001) AS z
    FROM returned
    JOIN spread USING (symbol)
    WHERE bucket >= now() - %(judged)s
)
SELECT
    (SELECT count(*) FROM judged) AS judged,
    (SELECT count(*) FROM judged WHERE z > %(limit)s) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT bucket, symbol, previous AS "from", close AS "to", round(z::numeric, 1) AS z
            FROM judged WHERE z > %(limit)s ORDER BY judged.z DESC LIMIT 10
        ) AS worst) AS examples;
