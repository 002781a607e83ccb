-- Stores the round lots that feeds.yaml gives: for these symbols, they are all that there is.
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (symbol text, valid_from date, round_lot double precision)
),
gone AS (
    DELETE FROM round_lot
    WHERE symbol IN (SELECT given.symbol FROM given) AND (symbol, valid_from) NOT IN (SELECT given.symbol, given.valid_from FROM given)
    RETURNING 1
),
written AS (
    INSERT INTO round_lot AS kept (symbol, valid_from, round_lot, source)
    SELECT symbol, valid_from, round_lot, 'feeds.yaml' FROM given
    ON CONFLICT (symbol, valid_from) DO UPDATE SET round_lot = excluded.round_lot, source = excluded.source
    WHERE (kept.round_lot, kept.source) IS DISTINCT FROM (excluded.round_lot, excluded.source)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM written);
