-- The sum of the hashes of the candles of a minute of a time, as in proven_candles. In PL/pgSQL, which looks the candles up when it is called:
-- they are made later, and a rebuild of them does not concern it.
CREATE OR REPLACE FUNCTION ticks_platform.candles_hash(begins timestamptz, ends timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(hash_record_extended(
            (bucket, symbol, open, high, low, close, day_volume, volume, tick_count, price_count), 0
        )), 0)
        FROM one_minute_candle
        WHERE bucket >= begins AND bucket < ends
    );
END
$$;
