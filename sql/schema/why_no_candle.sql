-- Why a symbol has no prices in the bucket that holds this time; see candle_reasons for the answers.
CREATE OR REPLACE FUNCTION ticks_platform.why_no_candle(
    of_symbol text, at timestamptz, width interval DEFAULT '1 minute'
) RETURNS text
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT reason
    FROM ticks_platform.candle_reasons(
        of_symbol, time_bucket(width, at), time_bucket(width, at) + make_interval(secs => extract(epoch FROM width)::double precision), width
    )
$$;

COMMENT ON FUNCTION ticks_platform.why_no_candle IS 'Why a symbol has no prices in a bucket: no_trade, no_price, halted, market_closed, feed_gap, not_wanted, not_over; or candle.';
