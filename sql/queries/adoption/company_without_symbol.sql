-- Rows without a symbol.
SELECT count(*) FROM company WHERE symbol IS NULL;
