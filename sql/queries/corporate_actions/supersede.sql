-- Ends the versions of these symbols' actions that the provider no longer says: it says another one of the same id, or has none any more.
-- One that is older than the plan's past, or than everything in the answer, may only be out of reach: it stays. What another provider said
-- of the same symbols ends too, since each would be applied. Returns which were replaced, and which have gone.
UPDATE corporate_action AS known
SET superseded_at = greatest(now(), known_at)
WHERE symbol = ANY (%(symbols)s) AND kind = %(kind)s AND superseded_at IS NULL AND source <> 'manual'
    AND (
        source <> %(source)s
        OR (
            (execution_date >= %(since)s OR EXISTS (
                SELECT FROM jsonb_to_recordset(%(actions)s) AS said (symbol text, provider_id text)
                WHERE said.symbol = known.symbol AND said.provider_id = known.provider_id
            ))
            AND NOT EXISTS (
                SELECT FROM jsonb_to_recordset(%(actions)s) AS said (
                    symbol text, execution_date date, split_from double precision, split_to double precision,
                    cash_amount double precision, currency text, provider_id text
                )
                WHERE said.symbol = known.symbol AND said.provider_id = known.provider_id AND said.execution_date = known.execution_date
                    AND (said.split_from, said.split_to, said.cash_amount, said.currency)
                        IS NOT DISTINCT FROM (known.split_from, known.split_to, known.cash_amount, known.currency)
            )
        )
    )
RETURNING symbol, execution_date, source, EXISTS (
    SELECT FROM jsonb_to_recordset(%(actions)s) AS said (symbol text, execution_date date, provider_id text)
    WHERE said.symbol = known.symbol AND (said.provider_id = known.provider_id OR said.execution_date = known.execution_date)
);
