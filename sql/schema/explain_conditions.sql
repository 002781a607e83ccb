-- The conditions of a trade with their names, and what each of them forbids, by the rules of the trade's day in New York. A condition that is in
-- no table has no name and forbids nothing. Form T forbids nothing outside of regular hours, as the providers' bars of minutes have it.
-- What the trade may change is not decided here: it is in stocks_real_time.updates.
CREATE OR REPLACE FUNCTION ticks_platform.explain_conditions(of_conditions smallint[], of_feed text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT coalesce(jsonb_agg(
        jsonb_build_object(
            'condition', given.condition,
            'name', rule.name,
            'forbids', array_remove(ARRAY[
                CASE WHEN NOT updates_open_close THEN 'open_close' END,
                CASE WHEN NOT updates_high_low THEN 'high_low' END,
                CASE WHEN NOT updates_volume THEN 'volume' END
            ], NULL),
            'in_regular_hours_only', coalesce(rule.name LIKE 'Form T%', false)
        )
        ORDER BY place
    ), '[]')
    FROM unnest(of_conditions) WITH ORDINALITY AS given (condition, place)
    LEFT JOIN LATERAL (
        SELECT name, updates_open_close, updates_high_low, updates_volume
        FROM ticks_platform.trade_condition AS known
        WHERE known.condition = given.condition
            AND provider = coalesce((SELECT feed.provider FROM ticks_platform.feed WHERE feed.feed = of_feed), provider)
            AND valid_from <= (at AT TIME ZONE 'America/New_York')::date
        ORDER BY valid_from DESC, rules_version DESC
        LIMIT 1
    ) AS rule ON true
$$;

COMMENT ON FUNCTION ticks_platform.explain_conditions IS 'The conditions of a trade: their names, and what each forbids.';
