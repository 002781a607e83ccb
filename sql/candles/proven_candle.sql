-- Candles of a minute, an hour, a day and a trading day, each with what is proven of it. `proof` is
--   final        it is proven, and its day is trued up
--   proven       it equals all that was received and repaired by `proven_at`, without a gap
--   open         it is not over
--   gap          it was not received for a part of it, and that was not repaired with ticks
--   not_checked  it was not compared with what was received, or something has come since
--   differs      it is not what its ticks make, or these are not what was loaded
-- A query should say which length it wants, and of which time.
-- A day has 24 hours, and not '1 day', which has 23 or 25 where the session's time zone changes its clocks.
CREATE OR REPLACE VIEW proven_candle AS
WITH known AS NOT MATERIALIZED (SELECT * FROM ticks_platform.symbol_proof),
level AS NOT MATERIALIZED (SELECT * FROM ticks_platform.level_unproven),
since AS NOT MATERIALIZED (SELECT * FROM ticks_platform.proven_times)
SELECT
    every, bucket, symbol, open, high, low, close, volume, day_volume, tick_count, price_count, proof,
    CASE WHEN proof IN ('proven', 'final') THEN proven_at END AS proven_at
FROM (
    SELECT
        '1m' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '1 minute', received, missing, unproven, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_minute_candle AS candle
    CROSS JOIN (SELECT wrong AS wrong_candles FROM level WHERE level.candle = 'one_minute_candle') AS minutes
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (SELECT begins_at, min(proven_at) AS proven_at FROM since GROUP BY begins_at) AS since
        ON since.begins_at = time_bucket(INTERVAL '10 minutes', bucket)
    UNION ALL
    SELECT
        '1h' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '1 hour', received, missing, unproven + unproven_candles, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_hour_candle AS candle
    CROSS JOIN (
        SELECT range_agg(wrong) AS wrong_candles, range_agg(level.unproven) AS unproven_candles FROM level WHERE level.candle <> 'one_day_candle'
    ) AS hours
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (
        SELECT time_bucket(INTERVAL '1 hour', begins_at) AS hour, min(proven_at) AS proven_at FROM since GROUP BY time_bucket(INTERVAL '1 hour', begins_at)
    ) AS since ON since.hour = bucket
    UNION ALL
    SELECT
        '1d' AS every, bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, price_count,
        proven_at,
        ticks_platform.candle_state(bucket, bucket + INTERVAL '24 hours', received, missing, unproven + unproven_candles, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM one_day_candle AS candle
    CROSS JOIN (SELECT range_agg(wrong) AS wrong_candles, range_agg(level.unproven) AS unproven_candles FROM level) AS days
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN ticks_platform.missing_by_day AS gap ON gap.symbol = candle.symbol AND gap.day = time_bucket(INTERVAL '1 day', bucket)
    LEFT JOIN (
        SELECT time_bucket(INTERVAL '1 day', begins_at) AS day, min(proven_at) AS proven_at FROM since GROUP BY time_bucket(INTERVAL '1 day', begins_at)
    ) AS since ON since.day = bucket
    UNION ALL
    SELECT
        'session' AS every, candle.opens_at AS bucket, candle.symbol, open, high, low, close, volume, day_volume, tick_count, NULL::bigint AS price_count,
        proven_at,
        ticks_platform.candle_state(day.begins_at, day.ends_at, received, missing, unproven, wrong + wrong_candles, trued_up, trues_up, is_settled) AS proof
    FROM session_day_candle AS candle
    CROSS JOIN (SELECT wrong AS wrong_candles FROM level WHERE level.candle = 'one_minute_candle') AS minutes
    CROSS JOIN LATERAL (
        SELECT coalesce(min(day_begins_at), candle.opens_at) AS begins_at, coalesce(max(day_ends_at), candle.closes_at) AS ends_at
        FROM ticks_platform.market_session
        WHERE market_session.calendar = candle.calendar AND market_session.session = candle.session
            AND market_session.opens_at >= candle.opens_at AND market_session.opens_at < candle.closes_at
    ) AS day
    LEFT JOIN known ON known.symbol = candle.symbol
    LEFT JOIN LATERAL (
        SELECT range_agg(missing) AS missing
        FROM ticks_platform.missing_by_day
        WHERE missing_by_day.symbol = candle.symbol
            AND missing_by_day.day >= time_bucket(INTERVAL '1 day', day.begins_at) AND missing_by_day.day < day.ends_at
    ) AS gap ON true
    LEFT JOIN LATERAL (
        SELECT min(proven_at) AS proven_at FROM since WHERE since.begins_at < day.ends_at AND since.ends_at > day.begins_at
    ) AS since ON true
) AS found;

COMMENT ON VIEW proven_candle IS 'Candles with what is proven of them.';
COMMENT ON COLUMN proven_candle.every IS 'The length: 1m, 1h, 1d, or session for trading days.';
COMMENT ON COLUMN proven_candle.bucket IS 'Begin, UTC; of a trading day, when regular hours begin.';
COMMENT ON COLUMN proven_candle.symbol IS 'Symbol, as the provider names it.';
COMMENT ON COLUMN proven_candle.open IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.high IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.low IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.close IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.volume IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.day_volume IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.tick_count IS 'As in the candle of that length.';
COMMENT ON COLUMN proven_candle.price_count IS 'As in the candle of that length; empty of trading days.';
COMMENT ON COLUMN proven_candle.proof IS 'final, proven, or why it is not: open, gap, not_checked or differs.';
COMMENT ON COLUMN proven_candle.proven_at IS 'It equals all that was received and repaired by then; empty if it is not proven.';
