-- Candles of one minute beside the provider's bars of the same minutes, of feeds that have both and whose ticks make the candles;
-- minutes in known gaps are left out. Judged is the given window except its end, in which bars are still corrected. A provider
-- sends no bar of a minute in which no trade may form a price: so a candle without prices equals no bar. One row: how many minutes
-- were compared, how many differ by more than their feed's tolerance, the part of the bars' volume that our ticks have where both
-- have volumes, and the newest of those that differ.
WITH tolerated AS (
    SELECT * FROM unnest(%(feeds)s::text[], %(tolerances)s::double precision[]) AS given (feed, tolerance)
),
bar AS MATERIALIZED (
    SELECT feed, symbol, start_time, open_price, high_price, low_price, close_price, volume, tolerance
    FROM stock_aggregates AS bars
    JOIN tolerated USING (feed)
    WHERE start_time >= now() - %(window)s::interval AND end_time <= now() - %(settling)s::interval
        AND end_time = start_time + INTERVAL '1 minute'
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = bars.feed AND gap.symbol = bars.symbol AND gap.begins_at < bars.end_time
                AND coalesce(gap.ends_at, 'infinity') > bars.start_time
        )
        -- Before the first candle of a symbol there is nothing to compare.
        AND EXISTS (SELECT FROM one_minute_candle WHERE symbol = bars.symbol AND bucket < bars.start_time)
),
-- A bar may only be missed between two others, and not if it was to arrive in a gap.
streamed AS (
    SELECT feed, symbol, tolerance, min(start_time) AS since, max(start_time) AS until FROM bar GROUP BY feed, symbol, tolerance
),
without_bar AS (
    SELECT feed, symbol, bucket AS start_time, tolerance
    FROM streamed
    JOIN one_minute_candle USING (symbol)
    WHERE bucket > since AND bucket < until AND bucket >= now() - %(window)s::interval AND open IS NOT NULL
        AND NOT EXISTS (SELECT FROM bar WHERE bar.symbol = streamed.symbol AND bar.start_time = bucket)
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = streamed.feed AND gap.symbol = streamed.symbol AND gap.begins_at < bucket + INTERVAL '2 minutes'
                AND coalesce(gap.ends_at, 'infinity') > bucket
        )
),
compared AS MATERIALIZED (
    SELECT
        bar.feed, bar.symbol, bar.start_time AS bucket, bar.has_bar, bar.volume AS bar_volume, candle.volume,
        CASE
            WHEN NOT has_bar THEN 'there is no bar'
            WHEN candle.bucket IS NULL THEN 'there is no candle'
            WHEN candle.open IS NULL AND open_price IS NOT NULL THEN 'the candle has no prices'
            WHEN abs(candle.open - open_price) > tolerance * abs(open_price)
                OR abs(candle.high - high_price) > tolerance * abs(high_price)
                OR abs(candle.low - low_price) > tolerance * abs(low_price)
                OR abs(candle.close - close_price) > tolerance * abs(close_price)
                THEN 'prices differ'
            WHEN abs(candle.volume - bar.volume) > tolerance * abs(bar.volume) THEN 'volumes differ'
        END AS problem,
        array_to_string(ARRAY[candle.open, candle.high, candle.low, candle.close, candle.volume], ' ', '-') AS ours,
        array_to_string(ARRAY[open_price, high_price, low_price, close_price, bar.volume], ' ', '-') AS theirs
    FROM (
        SELECT *, true AS has_bar FROM bar
        UNION ALL
        SELECT feed, symbol, start_time, NULL, NULL, NULL, NULL, NULL, tolerance, false FROM without_bar
    ) AS bar
    LEFT JOIN one_minute_candle AS candle ON candle.symbol = bar.symbol AND candle.bucket = bar.start_time
        AND candle.bucket >= now() - %(window)s::interval
),
-- A symbol without any volume is one whose feed sends none.
sized AS (SELECT symbol FROM compared GROUP BY symbol HAVING count(volume) > 0)
SELECT
    (SELECT count(*) FROM compared) AS minutes,
    (SELECT count(problem) FROM compared) AS differing,
    (SELECT sum(CASE WHEN volume IS NULL THEN 0 ELSE least(volume, bar_volume) END) / nullif(sum(bar_volume), 0)
        FROM compared JOIN sized USING (symbol) WHERE has_bar) AS share,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT feed, symbol, bucket, problem, ours AS "candle (open high low close volume)", theirs AS "the provider's bar"
            FROM compared WHERE problem IS NOT NULL ORDER BY bucket DESC, symbol LIMIT %(examples)s
        ) AS worst) AS examples;
