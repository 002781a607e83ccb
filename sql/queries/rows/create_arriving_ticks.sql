-- A table of this session, from which ticks are inserted.
CREATE TEMP TABLE IF NOT EXISTS arriving_ticks (LIKE stocks_real_time) ON COMMIT DELETE ROWS;
