-- What a candle's file selects, as the database writes it down; gone again with the transaction.
CREATE TEMP VIEW wanted_candle AS {select};
SELECT pg_get_viewdef('wanted_candle'::regclass);
