-- Candles of one minute beside the provider's bars of the same minutes, of feeds that have both; minutes in known gaps are
-- left out. Judged is the given window except its end, in which bars are still corrected. One row: how many minutes were
-- compared, how many differ by more than their feed's tolerance, the part of the bars' volume that our ticks have where both
-- have volumes, and some of those that differ.
WITH tolerated AS (
    SELECT * FROM unnest(%(feeds)s::text[], %(tolerances)s::double precision[]) AS given (feed, tolerance)
),
bar AS (
    SELECT *
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
compared AS MATERIALIZED (
    SELECT
        bar.feed, bar.symbol, bar.start_time AS bucket, bar.volume AS bar_volume, candle.volume,
        CASE
            WHEN candle.bucket IS NULL THEN 'there is no candle'
            WHEN abs(candle.open - open_price) > tolerance * abs(open_price)
                OR abs(candle.high - high_price) > tolerance * abs(high_price)
                OR abs(candle.low - low_price) > tolerance * abs(low_price)
                OR abs(candle.close - close_price) > tolerance * abs(close_price)
                THEN 'prices differ'
            WHEN abs(candle.volume - bar.volume) > tolerance * abs(bar.volume) THEN 'volumes differ'
        END AS problem,
        concat_ws(' ', candle.open, candle.high, candle.low, candle.close, candle.volume) AS ours,
        concat_ws(' ', open_price, high_price, low_price, close_price, bar.volume) AS theirs
    FROM bar
    LEFT JOIN one_minute_candle AS candle ON candle.symbol = bar.symbol AND candle.bucket = bar.start_time
        AND candle.bucket >= now() - %(window)s::interval
),
-- A symbol without any volume is one whose feed sends none.
sized AS (SELECT symbol FROM compared GROUP BY symbol HAVING count(volume) > 0)
SELECT
    (SELECT count(*) FROM compared) AS minutes,
    (SELECT count(problem) FROM compared) AS differing,
    (SELECT sum(coalesce(least(volume, bar_volume), 0)) / nullif(sum(bar_volume), 0) FROM compared JOIN sized USING (symbol)) AS share,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT feed, symbol, bucket, problem, ours AS "candle (open high low close volume)", theirs AS "the provider's bar"
            FROM compared WHERE problem IS NOT NULL ORDER BY bucket DESC, symbol LIMIT 10
        ) AS worst) AS examples;
