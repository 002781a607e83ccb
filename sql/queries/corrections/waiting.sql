-- The corrections of a feed whose tick is not stored: mostly none, which the index tells at once.
SELECT correction_id, time, symbol, exchange, trade_id, price, size
FROM tick_correction
WHERE feed = %(feed)s AND tick_id IS NULL;
