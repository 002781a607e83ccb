-- Minutes in session, and those of them with a candle, by symbol: of the last sessions, which are judged, and of those before
-- them, which say how many minutes of a session a symbol usually trades in. Sessions are given, as arrays of one length, by
-- symbol. No minute counts before the first candle of a symbol: it was not streamed then.
WITH session AS MATERIALIZED (
    SELECT symbol, judged, begins, ends
    FROM unnest(%(symbols)s::text[], %(judged)s::boolean[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
        AS given (symbol, judged, begins, ends)
),
candle AS MATERIALIZED (
    SELECT DISTINCT bucket, symbol
    FROM one_minute_candle
    WHERE bucket >= %(begin)s AND bucket < %(end)s AND symbol = ANY (%(symbols)s)
),
begun AS (SELECT symbol, min(bucket) AS first_bucket FROM candle GROUP BY symbol),
expected AS (
    SELECT
        symbol,
        judged,
        sum(extract(epoch FROM ends - greatest(begins, first_bucket)) / 60) FILTER (WHERE ends > first_bucket) AS minutes
    FROM session
    LEFT JOIN begun USING (symbol)
    GROUP BY symbol, judged
),
present AS (
    SELECT session.symbol, judged, count(*) AS minutes
    FROM session
    JOIN candle ON candle.symbol = session.symbol AND bucket >= begins AND bucket < ends
    GROUP BY session.symbol, judged
)
SELECT
    symbol,
    coalesce(sum(expected.minutes) FILTER (WHERE judged), 0)::double precision AS expected,
    coalesce(sum(present.minutes) FILTER (WHERE judged), 0)::double precision AS present,
    coalesce(sum(expected.minutes) FILTER (WHERE NOT judged), 0)::double precision AS usually_expected,
    coalesce(sum(present.minutes) FILTER (WHERE NOT judged), 0)::double precision AS usually_present
FROM expected
LEFT JOIN present USING (symbol, judged)
GROUP BY symbol
ORDER BY symbol;
