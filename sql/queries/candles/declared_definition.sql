-- The SELECT of a candle's file, as the database writes it; the view is gone with the transaction.
CREATE TEMP VIEW wanted_candle AS {select};
SELECT pg_get_viewdef('wanted_candle'::regclass);
