-- Which values of a candle differ from another account of it, of those that both have. Prices are compared exactly; sums of fractions
-- in any order may differ in the last digits. explain_candle calls it.
CREATE OR REPLACE FUNCTION ticks_platform.explain_difference(ours jsonb, theirs jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT coalesce(jsonb_agg(name ORDER BY place), '[]')
    FROM unnest(ARRAY['open', 'high', 'low', 'close', 'volume', 'day_volume', 'tick_count', 'price_count'])
        WITH ORDINALITY AS compared (name, place)
    WHERE ours ? name AND theirs ? name AND ours -> name <> theirs -> name AND NOT CASE
        WHEN name = 'volume' AND jsonb_typeof(ours -> name) = 'number' AND jsonb_typeof(theirs -> name) = 'number'
            THEN abs((ours ->> name)::numeric - (theirs ->> name)::numeric)
                <= 1e-9 * greatest(abs((ours ->> name)::numeric), abs((theirs ->> name)::numeric))
        ELSE false
    END
$$;

COMMENT ON FUNCTION ticks_platform.explain_difference IS 'Which values of a candle differ from another account of it.';
