-- Minutes in session, and those of them with a candle, by symbol: of the last sessions, which are judged, and of those before
-- them, which say how many minutes of a session a symbol usually trades in. Sessions are given, as arrays of one length, by
-- symbol. No minute counts before the first candle of a symbol: it was not streamed then.
WITH session AS MATERIALIZED (
    SELECT symbol, judged, begins, ends
    FROM unnest(%(symbols)s::text[], %(judged)s::boolean[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
        AS given (symbol, judged, begins, ends)
),
-- One look at a candle tells which session it is in, however many there are.
opened AS MATERIALIZED (
    SELECT
        symbol,
        coalesce(range_agg(tstzrange(begins, ends)) FILTER (WHERE judged), '{}') AS judged,
        coalesce(range_agg(tstzrange(begins, ends)) FILTER (WHERE NOT judged), '{}') AS before
    FROM session
    GROUP BY symbol
),
present AS MATERIALIZED (
    SELECT
        symbol,
        min(bucket) AS first_bucket,
        count(*) FILTER (WHERE judged @> bucket) AS minutes,
        count(*) FILTER (WHERE before @> bucket) AS minutes_before
    FROM one_minute_candle
    JOIN opened USING (symbol)
    WHERE bucket >= %(begin)s AND bucket < %(end)s
    GROUP BY symbol
),
expected AS (
    SELECT
        symbol,
        judged,
        CASE WHEN ends > first_bucket THEN extract(epoch FROM ends - greatest(begins, first_bucket)) / 60 END AS minutes
    FROM session
    LEFT JOIN present USING (symbol)
)
SELECT
    symbol,
    coalesce(sum(expected.minutes) FILTER (WHERE judged), 0)::double precision AS expected,
    coalesce(max(present.minutes), 0)::double precision AS present,
    coalesce(sum(expected.minutes) FILTER (WHERE NOT judged), 0)::double precision AS usually_expected,
    coalesce(max(present.minutes_before), 0)::double precision AS usually_present
FROM expected
LEFT JOIN present USING (symbol)
GROUP BY symbol
ORDER BY symbol;
