-- Candles of one minute beside the provider's bars of the same minutes, of feeds that have both and whose ticks make the candles;
-- minutes in known gaps are left out. Judged is the given window except its end, in which bars are still corrected. A provider
-- sends no bar of a minute in which no trade may form a price: so a candle without prices equals no bar. The tolerance is relative to the
-- price, or, where it may be zero or negative, to the largest one of the symbol in the window. One row: how many minutes were compared,
-- how many differ by more than their feed's tolerance, the part of the bars' volume that our ticks have where both have volumes, and the
-- newest of those that differ.
WITH tolerated AS (
    SELECT * FROM unnest(%(feeds)s::text[], %(tolerances)s::double precision[]) AS given (feed, tolerance)
),
bar AS MATERIALIZED (
    SELECT feed, symbol, start_time, open_price, high_price, low_price, close_price, volume, tolerance,
        CASE
            WHEN may_be_negative
                THEN max(greatest(abs(open_price), abs(high_price), abs(low_price), abs(close_price))) OVER (PARTITION BY feed, symbol)
        END AS largest
    FROM stock_aggregates AS bars
    JOIN tolerated USING (feed)
    LEFT JOIN instrument USING (symbol)
    WHERE start_time >= now() - %(window)s::interval AND end_time <= now() - %(settling)s::interval
        AND end_time = start_time + INTERVAL '1 minute'
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = bars.feed AND gap.symbol = bars.symbol AND gap.begins_at < bars.end_time
                AND coalesce(gap.ends_at, 'infinity') > bars.start_time
        )
),
streamed AS MATERIALIZED (
    SELECT feed, symbol, tolerance, min(start_time) AS since, max(start_time) AS until FROM bar GROUP BY feed, symbol, tolerance
),
candle AS MATERIALIZED (
    SELECT symbol, bucket, open, high, low, close, volume
    FROM %(candle)s
    WHERE bucket >= now() - %(window)s::interval AND symbol IN (SELECT streamed.symbol FROM streamed)
),
-- Before the first candle of a symbol there is nothing to compare.
first_candle AS MATERIALIZED (
    SELECT
        symbol,
        CASE
            WHEN EXISTS (SELECT FROM %(candle)s AS earlier WHERE earlier.symbol = known.symbol AND bucket < known.since)
                THEN '-infinity'
            ELSE (SELECT min(bucket) FROM candle WHERE candle.symbol = known.symbol)
        END AS first_bucket
    FROM (SELECT symbol, min(since) AS since FROM streamed GROUP BY symbol) AS known
),
-- A FULL JOIN is never done by nested loops, whatever the planner takes the numbers of rows for.
paired AS MATERIALIZED (
    SELECT
        coalesce(bar.symbol, candle.symbol) AS symbol,
        coalesce(bar.start_time, candle.bucket) AS bucket,
        bar.symbol IS NOT NULL AS has_bar,
        candle.symbol IS NOT NULL AS has_candle,
        bar.feed, bar.tolerance, largest, open_price, high_price, low_price, close_price, bar.volume AS bar_volume,
        open, high, low, close, candle.volume
    FROM bar
    FULL JOIN candle ON candle.symbol = bar.symbol AND candle.bucket = bar.start_time
),
compared AS MATERIALIZED (
    SELECT
        feed, symbol, bucket, true AS has_bar, bar_volume, volume,
        CASE
            WHEN NOT has_candle THEN 'there is no candle'
            WHEN open IS NULL AND open_price IS NOT NULL THEN 'the candle has no prices'
            WHEN abs(open - open_price) > tolerance * coalesce(largest, abs(open_price))
                OR abs(high - high_price) > tolerance * coalesce(largest, abs(high_price))
                OR abs(low - low_price) > tolerance * coalesce(largest, abs(low_price))
                OR abs(close - close_price) > tolerance * coalesce(largest, abs(close_price))
                THEN 'prices differ'
            WHEN abs(volume - bar_volume) > tolerance * abs(bar_volume) THEN 'volumes differ'
        END AS problem,
        array_to_string(ARRAY[open, high, low, close, volume], ' ', '-') AS ours,
        array_to_string(ARRAY[open_price, high_price, low_price, close_price, bar_volume], ' ', '-') AS theirs
    FROM paired
    JOIN first_candle USING (symbol)
    WHERE has_bar AND bucket > first_bucket
    UNION ALL
    -- A bar may only be missed between two others, and not if it was to arrive in a gap.
    SELECT
        streamed.feed, symbol, bucket, false AS has_bar, NULL, volume, 'there is no bar',
        array_to_string(ARRAY[open, high, low, close, volume], ' ', '-'),
        '- - - - -'
    FROM paired
    JOIN streamed USING (symbol)
    WHERE NOT has_bar AND open IS NOT NULL AND bucket > since AND bucket < until
        AND NOT EXISTS (
            SELECT FROM ticks_platform.feed_gap AS gap
            WHERE gap.feed = streamed.feed AND gap.symbol = streamed.symbol AND gap.begins_at < bucket + INTERVAL '2 minutes'
                AND coalesce(gap.ends_at, 'infinity') > bucket
        )
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
