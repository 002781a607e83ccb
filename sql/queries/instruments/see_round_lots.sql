-- Stores the round lots that a provider names today, where they differ from those that were valid until now.
INSERT INTO round_lot AS kept (symbol, valid_from, round_lot, source)
SELECT symbol, (now() AT TIME ZONE 'UTC')::date, round_lot, source
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (symbol text, round_lot double precision, source text)
WHERE given.round_lot IS DISTINCT FROM (
    SELECT newest.round_lot
    FROM round_lot AS newest
    WHERE newest.symbol = given.symbol AND newest.valid_from <= (now() AT TIME ZONE 'UTC')::date
    ORDER BY newest.valid_from DESC
    LIMIT 1
)
ON CONFLICT (symbol, valid_from) DO UPDATE SET round_lot = excluded.round_lot, source = excluded.source;
