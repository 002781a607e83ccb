-- Minutes in session, and those of them with a candle, by symbol: of the last sessions, which are judged, and of those before
-- them, which say in how many minutes of a session a symbol usually trades. Sessions are given by symbol, as arrays of one
-- length. Minutes before the first candle of a symbol do not count: it was not streamed then. Nor do minutes that a gap
-- touches, whatever became of it: the table of gaps says that ticks are missing there. A candle of nothing that counts, but only of
-- cancelled ticks or those of a secondary feed, does not count either.
WITH session AS MATERIALIZED (
    SELECT symbol, judged, begins, ends
    FROM unnest(%(symbols)s::text[], %(judged)s::boolean[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
        AS given (symbol, judged, begins, ends)
),
gap AS MATERIALIZED (
    SELECT
        symbol,
        range_agg(tstzrange(
            time_bucket(INTERVAL '1 minute', begins_at),
            time_bucket(INTERVAL '1 minute', ends_at - INTERVAL '1 microsecond') + INTERVAL '1 minute'
        )) AS minutes
    FROM ticks_platform.feed_gap
    WHERE feed = ANY (%(feeds)s) AND begins_at < %(end)s AND coalesce(ends_at, 'infinity') > %(begin)s
    GROUP BY symbol
),
-- As multiranges: a candle is looked up once, however many sessions there are.
opened AS MATERIALIZED (
    SELECT
        symbol,
        coalesce(range_agg(tstzrange(begins, ends)) FILTER (WHERE judged), '{}') - coalesce(minutes, '{}') AS judged,
        coalesce(range_agg(tstzrange(begins, ends)) FILTER (WHERE NOT judged), '{}') - coalesce(minutes, '{}') AS before
    FROM session
    LEFT JOIN gap USING (symbol)
    GROUP BY symbol, minutes
),
present AS MATERIALIZED (
    SELECT
        symbol,
        min(bucket) AS first_bucket,
        count(*) FILTER (WHERE judged @> bucket) AS minutes,
        count(*) FILTER (WHERE before @> bucket) AS minutes_before
    FROM %(candle)s
    JOIN opened USING (symbol)
    WHERE bucket >= %(begin)s AND bucket < %(end)s AND num_nonnulls(open, volume, day_volume) > 0
    GROUP BY symbol
)
SELECT
    symbol,
    coalesce(expected.judged, 0)::double precision AS expected,
    coalesce(present.minutes, 0)::double precision AS present,
    coalesce(expected.before, 0)::double precision AS usually_expected,
    coalesce(present.minutes_before, 0)::double precision AS usually_present
FROM opened
LEFT JOIN present USING (symbol)
CROSS JOIN LATERAL (
    SELECT
        sum(extract(epoch FROM upper(span) - lower(span)) / 60) FILTER (WHERE is_judged) AS judged,
        sum(extract(epoch FROM upper(span) - lower(span)) / 60) FILTER (WHERE NOT is_judged) AS before
    FROM (
        SELECT true, unnest(judged * tstzmultirange(tstzrange(first_bucket, NULL)))
        UNION ALL
        SELECT false, unnest(before * tstzmultirange(tstzrange(first_bucket, NULL)))
    ) AS spans (is_judged, span)
    WHERE first_bucket IS NOT NULL
) AS expected
ORDER BY symbol;
