-- Adds what the provider says and the table does not have in force. Returns the new versions.
INSERT INTO corporate_action
    (symbol, kind, execution_date, split_from, split_to, cash_amount, currency, historical_adjustment_factor, provider_id, source, known_at)
SELECT symbol, %(kind)s, execution_date, split_from, split_to, cash_amount, currency, historical_adjustment_factor, provider_id, %(source)s, now()
FROM jsonb_to_recordset(%(actions)s) AS said (
    symbol text, execution_date date, split_from double precision, split_to double precision, cash_amount double precision, currency text,
    historical_adjustment_factor double precision, provider_id text
)
ON CONFLICT (symbol, kind, execution_date, source, provider_id) WHERE superseded_at IS NULL DO NOTHING
RETURNING symbol, execution_date;
