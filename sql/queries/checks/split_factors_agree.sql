-- Splits whose cumulative factor, computed from the ratios, is not the provider's, which has six decimals. A table that is not read whole
-- has fewer splits than the provider knows, or more. One row: how many were compared, how many differ, and the newest of those.
WITH compared AS MATERIALIZED (
    SELECT corporate_action.symbol, corporate_action.execution_date, source, historical_adjustment_factor AS provider, factor AS computed,
        abs(historical_adjustment_factor - factor) > 1e-6 + 1e-4 * factor AS differs
    FROM corporate_action
    JOIN ticks_platform.price_adjustment USING (symbol, kind, execution_date)
    WHERE kind = 'split' AND superseded_at IS NULL AND historical_adjustment_factor > 0
        AND NOT EXISTS (
            SELECT FROM corporate_action AS own
            WHERE own.symbol = corporate_action.symbol AND own.kind = 'split' AND own.source = 'manual' AND own.superseded_at IS NULL
        )
        -- Of several splits of one day, only the last one has the factor of all.
        AND NOT EXISTS (
            SELECT FROM corporate_action AS same
            WHERE same.symbol = corporate_action.symbol AND same.kind = 'split' AND same.execution_date = corporate_action.execution_date
                AND same.source = corporate_action.source AND same.superseded_at IS NULL AND same.provider_id <> corporate_action.provider_id
        )
)
SELECT
    (SELECT count(*) FROM compared) AS judged,
    (SELECT count(*) FROM compared WHERE differs) AS offending,
    (SELECT coalesce(json_agg(to_json(worst)), '[]')
        FROM (
            SELECT symbol, execution_date, source, provider, computed FROM compared
            WHERE differs ORDER BY execution_date DESC, symbol LIMIT 10
        ) AS worst) AS examples;
