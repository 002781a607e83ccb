-- Candles of a length that divides a day, with what is proven of them, as proven_candle has it for the lengths that are stored.
SELECT {columns}, proof, CASE WHEN proof IN ('proven', 'final') THEN proven_at END AS proven_at
FROM (
    SELECT
        candle.*,
        proven_at,
        ticks_platform.candle_state(
            candle.bucket, candle.bucket + make_interval(secs => extract(epoch FROM %(every)s)::double precision), received, missing, unproven + unproven_candles, wrong + wrong_candles, trued_up, trues_up,
            is_settled
        ) AS proof
    FROM ({candles}) AS candle
    CROSS JOIN (
        SELECT range_agg(unproven) AS unproven_candles, range_agg(wrong) AS wrong_candles
        FROM ticks_platform.level_unproven
        WHERE candle = ANY (%(levels)s)
    ) AS level
    LEFT JOIN ticks_platform.symbol_proof AS known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap
        ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', candle.bucket)
    LEFT JOIN (
        SELECT time_bucket(%(proof_span)s, begins_at) AS begins_at, min(proven_at) AS proven_at
        FROM ticks_platform.proven_times
        GROUP BY time_bucket(%(proof_span)s, begins_at)
    ) AS since ON since.begins_at = time_bucket(%(proof_span)s, candle.bucket)
) AS judged
WHERE NOT %(proven)s OR proof IN ('proven', 'final')
