-- The actions that were learned of last.
SELECT symbol, kind, execution_date, split_from, split_to, cash_amount, currency, known_at, superseded_at
FROM corporate_action
ORDER BY known_at DESC, execution_date DESC, symbol
LIMIT %(number)s;
