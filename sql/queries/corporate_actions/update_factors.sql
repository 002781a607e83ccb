-- Sets the provider's cumulative factors. They change with each newer action, which is no new version of this one.
UPDATE corporate_action AS known
SET historical_adjustment_factor = said.historical_adjustment_factor
FROM jsonb_to_recordset(%(actions)s) AS said (
    symbol text, execution_date date, historical_adjustment_factor double precision, provider_id text
)
WHERE known.symbol = said.symbol AND known.kind = %(kind)s AND known.execution_date = said.execution_date
    AND known.provider_id = said.provider_id AND known.source = %(source)s AND superseded_at IS NULL
    AND known.historical_adjustment_factor IS DISTINCT FROM said.historical_adjustment_factor;
